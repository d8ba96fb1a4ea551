//! Where each setting's value comes from.

use std::collections::BTreeMap;

use config::{ConfigError, Source as Values, Value, ValueKind};
use serde::Serialize;
use utoipa::ToSchema;

/// Who says what a setting is, the weakest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = SettingSource)]
pub enum Source {
    /// Nobody.
    #[default]
    Default,
    /// `bkg.toml`, or the file that was named.
    File,
    /// An environment variable.
    Environment,
    /// The command line.
    Flag,
}

/// The source of each setting that is not left at its default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources(BTreeMap<String, Source>);

impl Sources {
    /// The source of the setting `key`, such as `server.port`.
    pub fn of(&self, key: &str) -> Source {
        self.0.get(key).copied().unwrap_or_default()
    }

    /// Takes note of what `source` says; it wins over those that were noted before.
    pub(super) fn note(&mut self, source: Source, values: &impl Values) -> Result<(), ConfigError> {
        for (key, value) in values.collect()? {
            self.note_value(key, value, source);
        }
        Ok(())
    }

    fn note_value(&mut self, key: String, value: Value, source: Source) {
        match value.kind {
            ValueKind::Table(fields) => fields.into_iter().for_each(|(name, value)| {
                self.note_value(format!("{key}.{name}"), value, source);
            }),
            _ => {
                self.0.insert(key, source);
            }
        }
    }
}
