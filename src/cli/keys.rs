//! `bkg keys`: makes, lists, changes, rotates and revokes keys.

use clap::{Args, Subcommand};
use messages::{
    apikeys::{Key, NewKey},
    usage::Limits,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    CliError,
    client::{Client, segment},
    plain::plain,
    say,
};
use crate::settings::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Makes a key and prints it, once.
    Create {
        /// What you call it.
        #[arg(long)]
        name: String,
        /// What it may do, such as llm.chat,brainml.query; `*` is everything.
        #[arg(long, value_delimiter = ',', required = true)]
        scopes: Vec<String>,
        /// When it ends, such as 2027-01-31T00:00:00Z.
        #[arg(long)]
        expires: Option<String>,
        #[command(flatten)]
        limits: LimitArgs,
    },
    /// Lists the keys with their limits and last use, without their secrets.
    List,
    /// Changes a key, at once; what is not named stays as it is.
    Update {
        /// The key's id, from `bkg keys list`.
        id: String,
        /// What you call it.
        #[arg(long)]
        name: Option<String>,
        /// What it may do from now on.
        #[arg(long, value_delimiter = ',')]
        scopes: Option<Vec<String>>,
        /// When it ends, such as 2027-01-31T00:00:00Z, or `never`.
        #[arg(long)]
        expires: Option<String>,
        #[command(flatten)]
        limits: LimitArgs,
    },
    /// Gives a key a new secret and prints it, once.
    Rotate {
        /// The key's id, from `bkg keys list`.
        id: String,
        /// Seconds for which the old secret still holds.
        #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
        overlap: u64,
    },
    /// Revokes a key, at once.
    Revoke {
        /// The key's id, from `bkg keys list`.
        id: String,
    },
}

/// Limits of a key; with `update`, 0 takes one away.
#[derive(Debug, Args)]
pub(super) struct LimitArgs {
    /// Requests a minute.
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<u64>,
    /// Tokens a minute, read and written.
    #[arg(long, value_name = "N")]
    tokens_per_minute: Option<u64>,
    /// Requests at work at the same time.
    #[arg(long, value_name = "N")]
    concurrent_requests: Option<u64>,
    /// Tokens a calendar month.
    #[arg(long, value_name = "N")]
    monthly_tokens: Option<u64>,
}

impl LimitArgs {
    /// The limits that are named; 0 becomes `null` where `removable`.
    fn body(&self, removable: bool) -> Option<Value> {
        let named = [
            ("requests_per_minute", self.requests_per_minute),
            ("tokens_per_minute", self.tokens_per_minute),
            ("concurrent_requests", self.concurrent_requests),
            ("monthly_tokens", self.monthly_tokens),
        ];
        let named = named.into_iter().filter_map(|(name, limit)| {
            let limit = limit?;
            let value = (limit > 0 || !removable).then_some(limit);
            Some((name.to_owned(), json!(value)))
        });
        let limits: Map<String, Value> = named.collect();
        (!limits.is_empty()).then_some(Value::Object(limits))
    }
}

#[derive(Deserialize)]
struct KeyList {
    keys: Vec<Key>,
}

pub(super) async fn run(settings: &Settings, command: Keys, json: bool) -> Result<(), CliError> {
    let client = Client::connect(settings, &["apikeys"]).await?;
    let done = perform(&client, command, json).await;
    client.close().await;
    done
}

async fn perform(client: &Client, command: Keys, json: bool) -> Result<(), CliError> {
    match command {
        Keys::Create {
            name,
            scopes,
            expires,
            limits,
        } => {
            let body = json!({
                "name": name, "scopes": scopes, "expires_at": expires, "limits": limits.body(false),
            });
            show(client.post("/admin/keys", &body).await?, json)
        }
        Keys::Rotate { id, overlap } => {
            let path = format!("/admin/keys/{}/rotate", segment(&id));
            let body = json!({"overlap_seconds": overlap});
            show(client.post(&path, &body).await?, json)
        }
        Keys::Update {
            id,
            name,
            scopes,
            expires,
            limits,
        } => {
            let body = change(name, scopes, expires, &limits);
            let path = format!("/admin/keys/{}", segment(&id));
            let changed: Value = client.patch(&path, &body).await?;
            if json {
                return say(changed);
            }
            eprintln!("key {id} is changed");
            Ok(())
        }
        Keys::List if json => say(client.get::<Value>("/admin/keys").await?),
        Keys::List => list(&client.get::<KeyList>("/admin/keys").await?.keys),
        Keys::Revoke { id } => {
            client
                .delete(&format!("/admin/keys/{}", segment(&id)))
                .await?;
            eprintln!("key {id} is revoked");
            Ok(())
        }
    }
}

/// Prints a secret, the only time.
fn show(made: Value, json: bool) -> Result<(), CliError> {
    if json {
        return say(made);
    }
    let made: NewKey =
        serde_json::from_value(made).map_err(|error| CliError::Answer(error.to_string()))?;
    eprintln!(
        "key {} ({}), shown only now:",
        made.about.id,
        plain(&made.about.name)
    );
    say(made.key)
}

/// The body of a change: what is named, and nothing else.
fn change(
    name: Option<String>,
    scopes: Option<Vec<String>>,
    expires: Option<String>,
    limits: &LimitArgs,
) -> Value {
    let expires = expires.map(|end| match end.as_str() {
        "never" => Value::Null,
        _ => json!(end),
    });
    let named = [
        ("name", name.map(Value::from)),
        ("scopes", scopes.map(Value::from)),
        ("expires_at", expires),
        ("limits", limits.body(true)),
    ];
    let named = named
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(named.collect())
}

fn list(keys: &[Key]) -> Result<(), CliError> {
    for key in keys {
        let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
        let state = match (key.revoked_at, key.expires_at) {
            (Some(at), _) => format!("revoked {at}"),
            (None, Some(at)) => format!("until {at}"),
            (None, None) => "valid".to_owned(),
        };
        let used = key
            .last_used_at
            .map_or_else(|| "never".to_owned(), |at| at.to_string());
        let line = format!(
            "{:<14} {:<20} {:<24} {state}, used {used}{}",
            key.id,
            key.name,
            scopes.join(","),
            limits(&key.limits)
        );
        say(plain(&line))?;
    }
    Ok(())
}

/// Such as `, at most 60 requests and 1000 tokens a minute`.
fn limits(limits: &Limits) -> String {
    let named = [
        (limits.requests_per_minute, "requests a minute"),
        (limits.tokens_per_minute, "tokens a minute"),
        (limits.concurrent_requests, "requests at a time"),
        (limits.monthly_tokens, "tokens a month"),
    ];
    let named = named
        .into_iter()
        .filter_map(|(limit, what)| Some(format!("{} {what}", limit?)));
    let named: Vec<String> = named.collect();
    match named.is_empty() {
        true => String::new(),
        false => format!(", at most {}", named.join(", ")),
    }
}
