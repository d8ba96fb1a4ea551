//! `bkg settings`: every setting, as the file, the environment and the flags make it here. No
//! gateway is asked: a running one keeps what it was started with.

use serde_json::{Value, json};

use super::{CliError, plain::plain, say};
use crate::settings::{Reference, Settings};

pub(super) fn run(settings: &Settings, as_json: bool) -> Result<(), CliError> {
    let all = settings.reference()?;
    if as_json {
        return say(json!({ "settings": all }));
    }
    all.iter().try_for_each(print)
}

fn print(one: &Reference) -> Result<(), CliError> {
    let default = match one.value == one.default {
        true => String::new(),
        false => format!("  (default: {})", text(&one.default)),
    };
    let value = text(&one.value);
    say(format_args!("{} = {}{default}", one.key, plain(&value)))?;
    say(format_args!("    {} [{}]", one.doc, one.kind))
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "(unset)".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
