//! What an operator may ask of the supervisor. Reading states needs no message: see
//! [`Directory::states`](crate::line::Directory::states).

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{call::Capability, plugin::PluginState};

/// Where the value of a setting comes from; a later one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The plugin's own default.
    Default,
    /// `plugins.json`.
    File,
    /// An operator, at run time.
    Operator,
}

/// One effective setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Setting {
    /// Its value.
    pub value: Value,
    /// Where it comes from.
    pub source: Source,
}

/// What becomes of one value of an operator's. In JSON, with `#[serde(default)]`, an absent field
/// leaves it, `null` takes it back, and anything else sets it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Option<T>", bound(deserialize = "T: Deserialize<'de>"))]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Leave,
    /// It is forgotten, and an earlier source counts again.
    TakeBack,
    /// It takes the place of every earlier source's.
    Set(T),
}

impl<T> From<Option<T>> for Change<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::TakeBack, Self::Set)
    }
}

impl<T> Change<T> {
    /// What becomes of `old`.
    pub fn of(self, old: Option<T>) -> Option<T> {
        match self {
            Self::Leave => old,
            Self::TakeBack => None,
            Self::Set(value) => Some(value),
        }
    }
}

/// A plugin with its configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PluginDetail {
    /// Its state.
    #[serde(flatten)]
    pub state: PluginState,
    /// Where `autostart` comes from; `default` also where the baseline names the plugin and does not
    /// say.
    pub autostart_source: Source,
    /// The file that the baseline was read from, or `built in`.
    pub baseline: String,
    /// Its effective settings, by name.
    pub settings: BTreeMap<String, Setting>,
    /// What its settings may be: a JSON Schema (draft 2020-12) of the object that they are.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub schema: Value,
}

macro_rules! lifecycle {
    ($($(#[$doc:meta])* $name:ident = $text:literal -> $reply:ty,)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone)]
            pub struct $name {
                /// The plugin's name.
                pub name: String,
            }

            impl Capability for $name {
                type Reply = $reply;
                const NAME: &'static str = $text;
                const DEADLINE: Duration = Duration::from_secs(60);
            }
        )*
    };
}

lifecycle! {
    /// Tells everything about one plugin.
    InspectPlugin = "supervisor.inspect" -> PluginDetail,
    /// Starts a stopped or failed plugin and waits until it runs.
    StartPlugin = "supervisor.start" -> PluginState,
    /// Stops a plugin and waits until it has stopped.
    StopPlugin = "supervisor.stop" -> PluginState,
    /// Stops and starts a plugin.
    RestartPlugin = "supervisor.restart" -> PluginState,
}

/// Changes a plugin's settings, keeps the change, and restarts the plugin if it was running.
#[derive(Debug, Clone)]
pub struct ConfigurePlugin {
    /// The plugin's name.
    pub name: String,
    /// Settings by name; `null` takes the operator's value back. Unnamed ones stay as they are.
    pub settings: BTreeMap<String, Value>,
    /// Whether the gateway starts it from now on.
    pub autostart: Change<bool>,
}

impl Capability for ConfigurePlugin {
    type Reply = PluginDetail;
    const NAME: &'static str = "supervisor.configure";
    const DEADLINE: Duration = Duration::from_secs(60);
}
