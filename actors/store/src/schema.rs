//! The store's own table. Every plugin describes its tables in its own crate.

diesel::table! {
    plugin_settings (plugin) {
        plugin -> Text,
        settings -> Nullable<Text>,
        autostart -> Nullable<Bool>,
        changed_at -> BigInt,
    }
}
