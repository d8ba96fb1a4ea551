//! The tables of the migrations `*_llmserver_*`.

diesel::table! {
    llmserver_conversations (id) {
        id -> Text,
        owner -> Text,
        revision -> BigInt,
        title -> Text,
        folded_title -> Text,
        model -> Nullable<Text>,
        head -> Text,
        message_count -> BigInt,
        byte_count -> BigInt,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    llmserver_messages (conversation_id, ordinal) {
        conversation_id -> Text,
        ordinal -> BigInt,
        role -> Text,
        content -> Text,
        folded -> Text,
        rest -> Text,
    }
}

diesel::joinable!(llmserver_messages -> llmserver_conversations (conversation_id));
diesel::allow_tables_to_appear_in_same_query!(llmserver_conversations, llmserver_messages);
