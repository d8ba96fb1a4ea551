DROP TABLE usage_lines;
DROP INDEX api_keys_previous_digest;
ALTER TABLE api_keys DROP COLUMN previous_until;
ALTER TABLE api_keys DROP COLUMN previous_digest;
ALTER TABLE api_keys DROP COLUMN monthly_tokens;
ALTER TABLE api_keys DROP COLUMN concurrent_requests;
ALTER TABLE api_keys DROP COLUMN tokens_per_minute;
ALTER TABLE api_keys DROP COLUMN requests_per_minute;
