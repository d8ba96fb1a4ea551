-- Ids are never used again (AUTOINCREMENT): derived indexes know rows by their ids.
CREATE TABLE brainml_collections (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    -- Grows with every change; derived indexes say which one they have reached.
    revision BIGINT NOT NULL DEFAULT 0,
    -- The embedding model whose vectors are searched.
    model TEXT,
    model_hash TEXT
);

CREATE TABLE brainml_documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    collection_id BIGINT NOT NULL REFERENCES brainml_collections (id) ON DELETE CASCADE,
    external_id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    -- SHA-256 of title and text: what chunks and embeddings are made from.
    content_hash BLOB NOT NULL,
    chunk_count BIGINT NOT NULL,
    byte_count BIGINT NOT NULL,
    metadata TEXT NOT NULL,
    title TEXT,
    text TEXT NOT NULL,
    UNIQUE (collection_id, external_id)
);

CREATE INDEX brainml_documents_by_revision
    ON brainml_documents (collection_id, revision, id, chunk_count, byte_count);

-- A chunk's text is its document's text from start_byte to end_byte.
CREATE TABLE brainml_chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    document_id BIGINT NOT NULL REFERENCES brainml_documents (id) ON DELETE CASCADE,
    ordinal BIGINT NOT NULL,
    start_byte BIGINT NOT NULL,
    end_byte BIGINT NOT NULL,
    UNIQUE (document_id, ordinal)
);

CREATE TABLE brainml_embeddings (
    chunk_id BIGINT NOT NULL REFERENCES brainml_chunks (id) ON DELETE CASCADE,
    -- SHA-256 of the model's weights.
    model_hash TEXT NOT NULL,
    collection_id BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    -- bfloat16, little-endian, of unit length.
    vector BLOB NOT NULL,
    PRIMARY KEY (chunk_id, model_hash)
);

CREATE INDEX brainml_embeddings_by_revision
    ON brainml_embeddings (collection_id, model_hash, revision, chunk_id);

-- What derived indexes must forget; pruned once they have.
CREATE TABLE brainml_deletions (
    document_id BIGINT PRIMARY KEY NOT NULL,
    collection_id BIGINT NOT NULL REFERENCES brainml_collections (id) ON DELETE CASCADE,
    revision BIGINT NOT NULL
);

CREATE INDEX brainml_deletions_by_revision ON brainml_deletions (collection_id, revision);

-- Collections that the product made itself, so that one that an operator deletes stays deleted.
CREATE TABLE brainml_guides (
    name TEXT PRIMARY KEY NOT NULL
);
