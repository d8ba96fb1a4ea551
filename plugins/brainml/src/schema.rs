//! The tables of the migrations `*_brainml_*`.

diesel::table! {
    brainml_collections (id) {
        id -> BigInt,
        name -> Text,
        revision -> BigInt,
        model -> Nullable<Text>,
        model_hash -> Nullable<Text>,
    }
}

diesel::table! {
    brainml_documents (id) {
        id -> BigInt,
        collection_id -> BigInt,
        external_id -> Text,
        revision -> BigInt,
        content_hash -> Binary,
        chunk_count -> BigInt,
        byte_count -> BigInt,
        metadata -> Text,
        title -> Nullable<Text>,
        text -> Text,
    }
}

diesel::table! {
    brainml_chunks (id) {
        id -> BigInt,
        document_id -> BigInt,
        ordinal -> BigInt,
        start_byte -> BigInt,
        end_byte -> BigInt,
    }
}

diesel::table! {
    brainml_embeddings (chunk_id, model_hash) {
        chunk_id -> BigInt,
        model_hash -> Text,
        collection_id -> BigInt,
        revision -> BigInt,
        vector -> Binary,
    }
}

diesel::table! {
    brainml_deletions (document_id) {
        document_id -> BigInt,
        collection_id -> BigInt,
        revision -> BigInt,
    }
}

diesel::table! {
    brainml_guides (name) {
        name -> Text,
    }
}

diesel::joinable!(brainml_documents -> brainml_collections (collection_id));
diesel::joinable!(brainml_chunks -> brainml_documents (document_id));
diesel::joinable!(brainml_embeddings -> brainml_chunks (chunk_id));
diesel::allow_tables_to_appear_in_same_query!(
    brainml_collections,
    brainml_documents,
    brainml_chunks,
    brainml_embeddings,
);
