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

/// A plugin with its configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PluginDetail {
    /// Its state.
    #[serde(flatten)]
    pub state: PluginState,
    /// The file that the baseline was read from, or `built in`.
    pub baseline: String,
    /// Its effective settings, by name.
    pub settings: BTreeMap<String, Setting>,
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
    /// Whether the gateway starts it from now on; absent leaves that as it is.
    pub autostart: Option<bool>,
}

impl Capability for ConfigurePlugin {
    type Reply = PluginDetail;
    const NAME: &'static str = "supervisor.configure";
    const DEADLINE: Duration = Duration::from_secs(60);
}
