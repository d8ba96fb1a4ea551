-- What an operator changed at run time, on top of plugins.json. Times are Unix milliseconds.
CREATE TABLE plugin_settings (
    plugin     TEXT   NOT NULL PRIMARY KEY,
    settings   TEXT,    -- a JSON object; NULL leaves the settings of plugins.json
    autostart  BOOLEAN, -- NULL leaves the choice of plugins.json
    changed_at BIGINT NOT NULL
);
