-- Limits of a key; NULL is none.
ALTER TABLE api_keys ADD COLUMN requests_per_minute BIGINT;
ALTER TABLE api_keys ADD COLUMN tokens_per_minute BIGINT;
ALTER TABLE api_keys ADD COLUMN concurrent_requests BIGINT;
ALTER TABLE api_keys ADD COLUMN monthly_tokens BIGINT;

-- The secret before the last rotation, and how long it still holds.
ALTER TABLE api_keys ADD COLUMN previous_digest BLOB;
ALTER TABLE api_keys ADD COLUMN previous_until BIGINT;

CREATE UNIQUE INDEX api_keys_previous_digest ON api_keys (previous_digest);

-- What was used. Days are in UTC, as 2026-11-24; durations are microseconds.
CREATE TABLE usage_lines (
    day               TEXT    NOT NULL,
    key_id            TEXT    NOT NULL, -- or 'session', 'owner'
    username          TEXT    NOT NULL,
    model             TEXT    NOT NULL, -- '' where none was asked
    route             TEXT    NOT NULL,
    status            INTEGER NOT NULL,
    requests          BIGINT  NOT NULL,
    prompt_tokens     BIGINT  NOT NULL,
    completion_tokens BIGINT  NOT NULL,
    took              BIGINT  NOT NULL,
    longest           BIGINT  NOT NULL,
    PRIMARY KEY (day, key_id, username, model, route, status)
);

CREATE INDEX usage_lines_key ON usage_lines (key_id, day);
