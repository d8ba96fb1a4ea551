//! Every setting as people read of it, made from what [`super::Settings`] is made from.

use std::{net::IpAddr, path::PathBuf};

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    ForwardedBy, List, LogFormat, Network, Seconds, Secret, SettingSource, Settings, SettingsError,
    Share, WebOrigin,
};

/// One setting.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = GatewaySetting)]
pub struct Reference {
    /// Its name in `bkg.toml` and in flags, such as `server.port`.
    pub key: String,
    /// Its name in the environment.
    pub environment: String,
    /// What a value looks like, in words.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is unless set; null is nothing.
    pub default: Value,
    /// What it is for.
    pub doc: String,
    /// What it is now. Secrets are not told.
    pub value: Value,
    /// Who says so.
    pub source: SettingSource,
}

/// What a setting's type tells of itself.
pub(super) trait Described {
    /// What a value looks like, in words.
    fn kind() -> String;

    /// The settings in it, where it is a group of them.
    fn fields() -> Vec<Field> {
        Vec::new()
    }
}

/// A setting within its group.
pub(super) struct Field {
    name: &'static str,
    doc: &'static str,
    kind: String,
    fields: Vec<Field>,
}

impl Field {
    pub(super) fn of<T: Described>(name: &'static str, doc: &'static str) -> Self {
        Self {
            name,
            doc: doc.trim(),
            kind: T::kind(),
            fields: T::fields(),
        }
    }
}

impl Settings {
    /// Every setting, in the order of the reference.
    ///
    /// # Errors
    /// Where a value has no form as text, such as a path that is not UTF-8.
    pub fn reference(&self) -> Result<Vec<Reference>, SettingsError> {
        let json = |settings: &Self| serde_json::to_value(settings).map_err(SettingsError::Untold);
        let (defaults, values) = (json(&Self::default())?, json(self)?);
        let mut all = Vec::new();
        list("", &Self::fields(), &defaults, &values, &mut all);
        for one in &mut all {
            one.source = self.sources.of(&one.key);
        }
        Ok(all)
    }
}

fn list(group: &str, fields: &[Field], defaults: &Value, values: &Value, all: &mut Vec<Reference>) {
    let (plain, groups): (Vec<&Field>, Vec<&Field>) =
        fields.iter().partition(|field| field.fields.is_empty());
    let of = |value: &Value, name: &str| value.get(name).cloned().unwrap_or_default();
    for field in plain {
        let key = format!("{group}{}", field.name);
        all.push(Reference {
            environment: format!("BKG_{}", key.replace('.', "__").to_uppercase()),
            kind: field.kind.clone(),
            default: of(defaults, field.name),
            doc: field.doc.to_owned(),
            value: of(values, field.name),
            source: SettingSource::default(),
            key,
        });
    }
    for field in groups {
        let (defaults, values) = (of(defaults, field.name), of(values, field.name));
        let group = format!("{group}{}.", field.name);
        list(&group, &field.fields, &defaults, &values, all);
    }
}

/// `kinds! { type: "words", … }`
macro_rules! kinds {
    ($($type:ty: $words:literal,)*) => {
        $(impl Described for $type {
            fn kind() -> String {
                $words.to_owned()
            }
        })*
    };
}

kinds! {
    bool: "`true` or `false`",
    u16: "whole number up to 65,535",
    u64: "whole number",
    usize: "whole number",
    f64: "number",
    String: "text",
    PathBuf: "path",
    IpAddr: "IP address",
    Secret: "text, never shown",
    Seconds: "1 to 86,400 seconds",
    Share: "number from 0 to 1",
    Network: "address or network",
    WebOrigin: "origin",
    ForwardedBy: "`x-forwarded-for` or `forwarded`",
    LogFormat: "`text` or `json`",
}

impl<T: Described> Described for Option<T> {
    fn kind() -> String {
        T::kind()
    }
}

impl<T: Described> Described for List<T> {
    fn kind() -> String {
        format!("list: {}", T::kind())
    }
}
