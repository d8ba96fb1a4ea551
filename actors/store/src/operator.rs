//! What an operator changed at run time: kept beside `plugins.json`, and stronger than it.

use diesel::{prelude::*, sqlite::SqliteConnection};
use serde_json::{Map, Value};

use crate::{StoreError, schema::plugin_settings};

/// The changes to one plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The plugin's name.
    pub plugin: String,
    /// Settings by name that stand in for those of `plugins.json`.
    pub settings: Option<Map<String, Value>>,
    /// Whether it starts with the gateway.
    pub autostart: Option<bool>,
    /// Unix milliseconds.
    pub changed_at: i64,
}

type Row = (String, Option<String>, Option<bool>, i64);

/// Every change, in the order of the plugins' names.
///
/// # Errors
/// What the database said, or that a row holds something else than a JSON object.
pub fn load_all(conn: &mut SqliteConnection) -> Result<Vec<Change>, StoreError> {
    let rows: Vec<Row> = plugin_settings::table
        .order(plugin_settings::plugin)
        .load(conn)?;
    rows.into_iter().map(read_row).collect()
}

fn read_row((plugin, settings, autostart, changed_at): Row) -> Result<Change, StoreError> {
    let settings = settings
        .map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|why| diesel::result::Error::DeserializationError(Box::new(why)))?;
    Ok(Change {
        plugin,
        settings,
        autostart,
        changed_at,
    })
}

/// Keeps `change` in place of the plugin's earlier one.
///
/// # Errors
/// What the database said.
pub fn save(conn: &mut SqliteConnection, change: &Change) -> Result<(), StoreError> {
    let settings = change
        .settings
        .as_ref()
        .map(serde_json::to_string)
        .transpose()
        .map_err(|why| diesel::result::Error::SerializationError(Box::new(why)))?;
    let row = (
        plugin_settings::settings.eq(settings),
        plugin_settings::autostart.eq(change.autostart),
        plugin_settings::changed_at.eq(change.changed_at),
    );
    diesel::insert_into(plugin_settings::table)
        .values((plugin_settings::plugin.eq(&change.plugin), row.clone()))
        .on_conflict(plugin_settings::plugin)
        .do_update()
        .set(row)
        .execute(conn)?;
    Ok(())
}

/// Forgets the change to `plugin`, so that `plugins.json` holds again; false if there was none.
///
/// # Errors
/// What the database said.
pub fn clear(conn: &mut SqliteConnection, plugin: &str) -> Result<bool, StoreError> {
    let gone = diesel::delete(plugin_settings::table.find(plugin)).execute(conn)?;
    Ok(gone > 0)
}
