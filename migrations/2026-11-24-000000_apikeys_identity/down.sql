DROP TABLE audit_log;
ALTER TABLE users DROP COLUMN totp_last_step;
ALTER TABLE users DROP COLUMN totp_confirmed;
ALTER TABLE users DROP COLUMN totp_secret;
ALTER TABLE users DROP COLUMN role;
