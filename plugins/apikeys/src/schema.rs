//! The plugin's tables.

diesel::table! {
    users (username) {
        username -> Text,
        password_hash -> Text,
        scopes -> Text,
        created_at -> BigInt,
        disabled -> Bool,
    }
}

diesel::table! {
    api_keys (digest) {
        digest -> Binary,
        id -> Text,
        name -> Text,
        username -> Text,
        scopes -> Text,
        created_at -> BigInt,
        expires_at -> Nullable<BigInt>,
        revoked_at -> Nullable<BigInt>,
        last_used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    sessions (digest) {
        digest -> Binary,
        id -> Text,
        username -> Text,
        seen_at -> BigInt,
        expires_at -> BigInt,
    }
}

diesel::joinable!(api_keys -> users (username));
diesel::joinable!(sessions -> users (username));
diesel::allow_tables_to_appear_in_same_query!(users, api_keys, sessions);
