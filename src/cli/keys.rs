//! `bkg keys`: makes, lists and revokes keys.

use clap::Subcommand;
use messages::apikeys::{Key, NewKey};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    CliError,
    client::{Client, segment},
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
    },
    /// Lists the keys, without their secrets.
    List,
    /// Revokes a key, at once.
    Revoke {
        /// The key's id, from `bkg keys list`.
        id: String,
    },
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
        } => {
            let body = json!({"name": name, "scopes": scopes, "expires_at": expires});
            let made: Value = client.post("/admin/keys", &body).await?;
            if json {
                return say(made);
            }
            let made: NewKey = serde_json::from_value(made)
                .map_err(|error| CliError::Answer(error.to_string()))?;
            eprintln!(
                "key {} ({}), shown only now:",
                made.about.id, made.about.name
            );
            say(made.key)
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

fn list(keys: &[Key]) -> Result<(), CliError> {
    for key in keys {
        let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
        let state = match (key.revoked_at, key.expires_at) {
            (Some(at), _) => format!("revoked {at}"),
            (None, Some(at)) => format!("until {at}"),
            (None, None) => "valid".to_owned(),
        };
        say(format_args!(
            "{:<14} {:<20} {:<24} {state}",
            key.id,
            key.name,
            scopes.join(",")
        ))?;
    }
    Ok(())
}
