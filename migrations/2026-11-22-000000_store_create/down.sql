DROP TABLE plugin_settings;
