-- An admin may do everything. Whoever had just the scope `admin` becomes a user without it: a
-- migration must not give anyone more than he had.
ALTER TABLE users ADD COLUMN role TEXT NOT NULL DEFAULT 'user';
UPDATE users SET role = 'admin', scopes = '*' WHERE ' ' || scopes || ' ' LIKE '% * %';
UPDATE users SET scopes = TRIM(REPLACE(' ' || scopes || ' ', ' admin ', ' ')) WHERE role = 'user';

-- The second factor: 20 random bytes; it counts once it has been confirmed. A code is taken once.
ALTER TABLE users ADD COLUMN totp_secret BLOB;
ALTER TABLE users ADD COLUMN totp_confirmed BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE users ADD COLUMN totp_last_step BIGINT; -- Unix seconds / 30

-- One row a change, each bound to the one before by its hash. Rows are never changed or deleted.
CREATE TABLE audit_log (
    seq        BIGINT NOT NULL PRIMARY KEY, -- 1, 2, 3, … without a gap
    at         BIGINT NOT NULL,
    actor      TEXT   NOT NULL, -- the caller's id
    username   TEXT   NOT NULL,
    address    TEXT,            -- NULL for the owner's socket and the gateway's own work
    request_id TEXT   NOT NULL,
    action     TEXT   NOT NULL,
    target     TEXT   NOT NULL,
    detail     TEXT   NOT NULL, -- JSON
    previous   BLOB   NOT NULL,
    hash       BLOB   NOT NULL
);

CREATE INDEX audit_log_action ON audit_log (action, seq);
