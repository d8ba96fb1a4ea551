-- Digests are SHA-256; scopes are names with a space between; times are Unix milliseconds.
CREATE TABLE users (
    username      TEXT    NOT NULL PRIMARY KEY,
    password_hash TEXT    NOT NULL, -- argon2id, as a PHC string
    scopes        TEXT    NOT NULL,
    created_at    BIGINT  NOT NULL,
    disabled      BOOLEAN NOT NULL DEFAULT FALSE
);

CREATE TABLE api_keys (
    digest       BLOB   NOT NULL PRIMARY KEY,
    id           TEXT   NOT NULL UNIQUE,
    name         TEXT   NOT NULL,
    username     TEXT   NOT NULL REFERENCES users (username),
    scopes       TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    revoked_at   BIGINT,
    last_used_at BIGINT
);

CREATE INDEX api_keys_username ON api_keys (username);

CREATE TABLE sessions (
    digest     BLOB   NOT NULL PRIMARY KEY,
    id         TEXT   NOT NULL UNIQUE,
    username   TEXT   NOT NULL REFERENCES users (username),
    seen_at    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX sessions_username ON sessions (username);
