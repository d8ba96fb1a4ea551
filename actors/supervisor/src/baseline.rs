//! `plugins.json`: which plugins start, in which order, with which settings.

use std::collections::BTreeMap;

use messages::supervisor::Source;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What `plugins.json` says.
#[derive(Debug, Clone)]
pub struct Baseline {
    /// The file's name, or `built in`.
    pub(crate) file: String,
    pub(crate) plugins: BTreeMap<String, Result<Entry, String>>,
    /// Fields beside `plugins`, which nobody knows.
    pub(crate) unknown: Vec<String>,
}

/// A file that is not what `plugins.json` should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}, column {column}: {detail}; correct the file or remove it")]
pub struct BaselineError {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong there.
    pub detail: String,
}

/// One plugin's entry.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    #[serde(default)]
    pub(crate) kind: Kind,
    /// Absent in an entry, it is true: to name a plugin is to want it.
    #[serde(default)]
    autostart: Option<bool>,
    /// Whether the baseline does not name the plugin at all.
    #[serde(skip)]
    absent: bool,
    #[serde(default)]
    pub(crate) needs: Vec<String>,
    /// What the plugin is expected to serve; one that it does not serve is a mistake.
    #[serde(default)]
    pub(crate) capabilities: Vec<String>,
    #[serde(default)]
    pub(crate) settings: Map<String, Value>,
}

/// What a plugin is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Compiled into the gateway.
    #[default]
    Builtin,
}

impl Entry {
    /// Stands for a plugin that the baseline does not name: it starts when an operator says so.
    pub(crate) fn absent() -> Self {
        Self {
            kind: Kind::Builtin,
            autostart: None,
            absent: true,
            needs: Vec::new(),
            capabilities: Vec::new(),
            settings: Map::new(),
        }
    }

    /// Whether the gateway starts the plugin, and whether the file or its silence says so.
    pub(crate) fn autostart(&self) -> (bool, Source) {
        let said = self.autostart.map(|said| (said, Source::File));
        said.unwrap_or((!self.absent, Source::Default))
    }
}

#[derive(Deserialize)]
struct File {
    plugins: BTreeMap<String, Value>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

impl Baseline {
    /// Reads the text of `plugins.json`; `file` is what messages and answers call it.
    ///
    /// # Errors
    /// When it is not JSON or not an object of plugins. A wrong entry is no error: it is named
    /// when the supervisor starts, and that plugin alone stays disabled.
    pub fn parse(file: &str, text: &str) -> Result<Self, BaselineError> {
        let read: File = serde_json::from_str(text).map_err(|error| BaselineError {
            file: file.to_owned(),
            line: error.line(),
            column: error.column(),
            detail: without_place(&error),
        })?;
        let plugins = read.plugins.into_iter();
        Ok(Self {
            file: file.to_owned(),
            plugins: plugins
                .map(|(name, entry)| (name, Entry::deserialize(entry).map_err(|e| e.to_string())))
                .collect(),
            unknown: read.unknown.into_keys().collect(),
        })
    }
}

/// serde_json's message without its own line and column.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_entries_with_their_defaults() {
        let text = r#"{"plugins":{"a":{},"b":{"kind":"builtin","autostart":false,"needs":["a"],
            "capabilities":["x.y"],"settings":{"n":1}}},"colour":1}"#;
        let baseline = Baseline::parse("plugins.json", text).unwrap();
        let a = baseline.plugins["a"].clone().unwrap();
        assert!(a.autostart().0 && a.needs.is_empty() && a.settings.is_empty());
        let b = baseline.plugins["b"].clone().unwrap();
        assert_eq!(b.autostart(), (false, Source::File));
        assert_eq!(
            (b.needs, b.capabilities),
            (vec!["a".to_owned()], vec!["x.y".to_owned()])
        );
        assert_eq!(baseline.unknown, ["colour"]);
    }

    #[test]
    fn broken_json_is_told_with_its_place() {
        let error = Baseline::parse("p.json", "{\n  \"plugins\": {\n    \"a\": {,}\n").unwrap_err();
        assert_eq!((error.line, error.column), (3, 11));
        let text = error.to_string();
        assert!(
            text.starts_with("p.json, line 3, column 11: key must be a string;"),
            "{text}"
        );
        for text in ["", "[]", "{}", r#"{"plugins":[]}"#, r#"{"plugins":{}} x"#] {
            assert!(Baseline::parse("p.json", text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_wrong_entry_is_named_and_alone() {
        let text = r#"{"plugins":{"a":{},"b":{"colour":1},"c":{"kind":"wasm"},"d":7}}"#;
        let plugins = Baseline::parse("p.json", text).unwrap().plugins;
        assert!(plugins["a"].is_ok());
        assert!(plugins["b"].clone().unwrap_err().contains("`colour`"));
        assert!(plugins["c"].clone().unwrap_err().contains("`wasm`"));
        assert!(plugins["d"].is_err());
    }
}
