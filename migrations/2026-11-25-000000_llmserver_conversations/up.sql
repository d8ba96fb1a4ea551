-- Conversations belong to users. Times are Unix milliseconds. Folded texts are what is searched:
-- lower case, letter by letter, so that a place in one is the same place in the other.
CREATE TABLE llmserver_conversations (
    id            TEXT   NOT NULL PRIMARY KEY,
    owner         TEXT   NOT NULL, -- the user's name
    revision      BIGINT NOT NULL, -- 1, and one more with each change
    title         TEXT   NOT NULL,
    folded_title  TEXT   NOT NULL,
    model         TEXT,
    head          TEXT   NOT NULL, -- JSON: system, settings, collections
    message_count BIGINT NOT NULL,
    byte_count    BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL
);

CREATE INDEX llmserver_conversations_by_owner
    ON llmserver_conversations (owner, updated_at, id, byte_count);

CREATE TABLE llmserver_messages (
    conversation_id TEXT   NOT NULL REFERENCES llmserver_conversations (id) ON DELETE CASCADE,
    ordinal         BIGINT NOT NULL, -- from 0
    role            TEXT   NOT NULL,
    content         TEXT   NOT NULL,
    folded          TEXT   NOT NULL,
    rest            TEXT   NOT NULL, -- JSON: annotations, model, usage, created_at
    PRIMARY KEY (conversation_id, ordinal)
);
