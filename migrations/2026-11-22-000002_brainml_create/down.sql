DROP TABLE brainml_guides;
DROP TABLE brainml_deletions;
DROP TABLE brainml_embeddings;
DROP TABLE brainml_chunks;
DROP TABLE brainml_documents;
DROP TABLE brainml_collections;
