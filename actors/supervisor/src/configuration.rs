//! The effective settings of a plugin, and where each of them comes from.

use std::{collections::BTreeMap, fmt, sync::Arc};

use messages::{
    fault::Fault,
    supervisor::{Change, Setting, Source},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

/// What stands in an answer for a value that is nobody's business.
const HIDDEN: &str = "(hidden)";

/// What an operator has changed of one plugin, as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Override {
    /// Settings by name.
    #[serde(default)]
    pub settings: BTreeMap<String, Value>,
    /// Whether the gateway starts the plugin; absent leaves that to the baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autostart: Option<bool>,
}

/// What operators have changed, by plugin.
pub type Overrides = BTreeMap<String, Override>;

/// The settings that a plugin knows: their defaults, and how to tell good ones from bad ones.
#[derive(Clone)]
pub struct Settings {
    defaults: Value,
    schema: Value,
    check: fn(&Value) -> Result<(), Fault>,
    check_new: Option<Check>,
}

/// Judges all effective settings of a plugin at once.
type Check = Arc<dyn Fn(&Value) -> Result<(), Fault> + Send + Sync>;

impl fmt::Debug for Settings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = out.debug_struct("Settings");
        shown
            .field("defaults", &self.defaults)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Settings with these defaults (a JSON object). `check` sees all effective ones at once.
    pub fn new(defaults: Value, check: fn(&Value) -> Result<(), Fault>) -> Self {
        Self {
            defaults,
            schema: json!({"type": "object"}),
            check,
            check_new: None,
        }
    }

    /// Says what settings there are and what each may be, as a JSON Schema of the whole object.
    /// It is told to whoever wants to change one, and decides nothing: `check` does.
    #[must_use]
    pub fn described_by(mut self, schema: Value) -> Self {
        self.schema = schema;
        self
    }

    pub(crate) fn schema(&self) -> &Value {
        &self.schema
    }

    /// Has `check` judge what an operator wants to save, too. It does not keep a plugin from
    /// starting with what was saved before.
    #[must_use]
    pub fn saved_only_if(
        mut self,
        check: impl Fn(&Value) -> Result<(), Fault> + Send + Sync + 'static,
    ) -> Self {
        self.check_new = Some(Arc::new(check));
        self
    }

    /// Settings as a type has them: `T::default()`, and whatever serde takes. The type should
    /// refuse unknown fields, so that a misspelt one is named.
    pub fn of<T: Default + Serialize + DeserializeOwned>() -> Self {
        let defaults = serde_json::to_value(T::default());
        Self::new(defaults.unwrap_or_default(), readable::<T>)
    }

    /// As [`Settings::of`], for a type whose defaults are not shown.
    pub fn without_defaults<T: DeserializeOwned>() -> Self {
        Self::new(Value::Object(Map::new()), readable::<T>)
    }

    /// The settings of a plugin that has none.
    pub fn none() -> Self {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}
        Self::without_defaults::<Nothing>().described_by(json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {},
            "additionalProperties": false,
        }))
    }

    /// Defaults, then the baseline's values, then the operator's; a later one takes the place of
    /// an earlier one as a whole.
    pub(crate) fn merge(
        &self,
        file: &Map<String, Value>,
        operator: &BTreeMap<String, Value>,
    ) -> BTreeMap<String, Setting> {
        let defaults = self.defaults.as_object().into_iter().flatten();
        let defaults = defaults.map(|pair| (pair, Source::Default));
        let file = file.iter().map(|pair| (pair, Source::File));
        let operator = operator.iter().map(|pair| (pair, Source::Operator));
        let layers = defaults.chain(file).chain(operator);
        layers
            .map(|((name, value), source)| {
                let value = value.clone();
                (name.clone(), Setting { value, source })
            })
            .collect()
    }

    /// The effective settings as one value, where they are good.
    pub(crate) fn checked(&self, effective: &BTreeMap<String, Setting>) -> Result<Value, Fault> {
        let values = effective
            .iter()
            .map(|(name, setting)| (name.clone(), setting.value.clone()));
        let value = Value::Object(values.collect());
        (self.check)(&value).map(|()| value)
    }

    /// Whether an operator may save `settings`, which are good ones.
    pub(crate) fn may_be_saved(&self, settings: &Value) -> Result<(), Fault> {
        self.check_new
            .as_ref()
            .map_or(Ok(()), |check| check(settings))
    }
}

fn readable<T: DeserializeOwned>(value: &Value) -> Result<(), Fault> {
    T::deserialize(value)
        .map(drop)
        .map_err(|error| Fault::unprocessable(format!("settings: {error}")))
}

/// Takes a change into what is kept: `null` takes a value back.
pub(crate) fn amend(
    kept: &Override,
    changes: BTreeMap<String, Value>,
    autostart: Change<bool>,
) -> Result<Override, Fault> {
    let mut amended = kept.clone();
    for (name, value) in changes {
        if mentions_hidden(&value) {
            return Err(Fault::unprocessable(format!(
                "settings: {name} holds `{HIDDEN}`, which stands for a secret; write the secret itself"
            ))
            .with_param(name));
        }
        if value.is_null() {
            amended.settings.remove(&name);
        } else {
            amended.settings.insert(name, value);
        }
    }
    match autostart {
        Change::Leave => (),
        Change::TakeBack => amended.autostart = None,
        Change::Set(value) => amended.autostart = Some(value),
    }
    Ok(amended)
}

/// The settings as they are shown: without passwords, keys and other secrets.
pub(crate) fn shown(mut settings: BTreeMap<String, Setting>) -> BTreeMap<String, Setting> {
    for (name, setting) in &mut settings {
        hide(name, &mut setting.value);
    }
    settings
}

fn hide(name: &str, value: &mut Value) {
    match value {
        Value::Object(fields) => fields
            .iter_mut()
            .for_each(|(name, value)| hide(name, value)),
        Value::Array(items) => items.iter_mut().for_each(|item| hide(name, item)),
        Value::String(text) if is_secret(name) && !text.is_empty() => HIDDEN.clone_into(text),
        _ => (),
    }
}

fn is_secret(name: &str) -> bool {
    ["password", "secret", "api_key", "token"]
        .iter()
        .any(|secret| name == *secret || name.ends_with(&format!("_{secret}")))
}

fn mentions_hidden(value: &Value) -> bool {
    match value {
        Value::String(text) => text == HIDDEN,
        Value::Array(items) => items.iter().any(mentions_hidden),
        Value::Object(fields) => fields.values().any(mentions_hidden),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Sample {
        a: u32,
        b: String,
        upstreams: Vec<Value>,
    }

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn operator(value: Value) -> BTreeMap<String, Value> {
        map(value).into_iter().collect()
    }

    #[test]
    fn a_later_source_wins_and_is_named() {
        let merged = Settings::of::<Sample>().merge(
            &map(json!({"a": 1, "b": "file"})),
            &operator(json!({"b": "operator"})),
        );
        let of = |name: &str| (merged[name].value.clone(), merged[name].source);
        assert_eq!(of("a"), (json!(1), Source::File));
        assert_eq!(of("b"), (json!("operator"), Source::Operator));
        assert_eq!(of("upstreams"), (json!([]), Source::Default));
    }

    #[test]
    fn bad_settings_are_named() {
        let settings = Settings::of::<Sample>();
        let check = |value| {
            let merged = settings.merge(&map(value), &BTreeMap::new());
            settings.checked(&merged).map_err(|fault| fault.message)
        };
        assert!(check(json!({"a": 2})).is_ok());
        assert!(check(json!({"colour": 2})).unwrap_err().contains("colour"));
        assert!(check(json!({"a": "two"})).unwrap_err().contains("two"));
        assert!(Settings::none().checked(&BTreeMap::new()).is_ok());
    }

    #[test]
    fn null_takes_a_value_back() {
        let kept = amend(
            &Override::default(),
            operator(json!({"a": 1, "b": "x"})),
            Change::Set(false),
        );
        let kept = amend(&kept.unwrap(), operator(json!({"a": null})), Change::Leave).unwrap();
        assert_eq!(kept.settings, operator(json!({"b": "x"})));
        assert_eq!(kept.autostart, Some(false));
        let kept = amend(&kept, BTreeMap::new(), Change::TakeBack).unwrap();
        assert_eq!(kept.autostart, None);
    }

    #[test]
    fn secrets_are_hidden_and_cannot_be_written_back() {
        let settings = Settings::of::<Sample>().merge(
            &map(json!({"upstreams": [{"api_key": "sk-1", "api_key_env": "KEY"}]})),
            &BTreeMap::new(),
        );
        let shown = shown(settings)["upstreams"].value.clone();
        assert_eq!(shown, json!([{"api_key": HIDDEN, "api_key_env": "KEY"}]));
        let echoed = BTreeMap::from([("upstreams".to_owned(), shown)]);
        let fault = amend(&Override::default(), echoed, Change::Leave).unwrap_err();
        assert_eq!(fault.param.as_deref(), Some("upstreams"));
    }
}
