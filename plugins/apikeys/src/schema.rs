//! The plugin's tables.

diesel::table! {
    users (username) {
        username -> Text,
        password_hash -> Text,
        scopes -> Text,
        created_at -> BigInt,
        disabled -> Bool,
        role -> Text,
        totp_secret -> Nullable<Binary>,
        totp_confirmed -> Bool,
        totp_last_step -> Nullable<BigInt>,
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
        requests_per_minute -> Nullable<BigInt>,
        tokens_per_minute -> Nullable<BigInt>,
        concurrent_requests -> Nullable<BigInt>,
        monthly_tokens -> Nullable<BigInt>,
        previous_digest -> Nullable<Binary>,
        previous_until -> Nullable<BigInt>,
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

diesel::table! {
    audit_log (seq) {
        seq -> BigInt,
        at -> BigInt,
        actor -> Text,
        username -> Text,
        address -> Nullable<Text>,
        request_id -> Text,
        action -> Text,
        target -> Text,
        detail -> Text,
        previous -> Binary,
        hash -> Binary,
    }
}

diesel::table! {
    usage_lines (day, key_id, username, model, route, status) {
        day -> Text,
        key_id -> Text,
        username -> Text,
        model -> Text,
        route -> Text,
        status -> Integer,
        requests -> BigInt,
        prompt_tokens -> BigInt,
        completion_tokens -> BigInt,
        took -> BigInt,
        longest -> BigInt,
    }
}

diesel::joinable!(api_keys -> users (username));
diesel::joinable!(sessions -> users (username));
diesel::allow_tables_to_appear_in_same_query!(users, api_keys, sessions);
