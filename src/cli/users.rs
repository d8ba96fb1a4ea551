//! `bkg users`: makes, lists and changes users.

use std::io::{BufRead, IsTerminal};

use clap::Subcommand;
use messages::apikeys::{Role, User};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    CliError,
    client::{Client, segment},
    plain::plain,
    say,
};
use crate::settings::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum Users {
    /// Makes a user; the password is asked for, or read from standard input.
    Create {
        name: String,
        /// `admin` may do everything; `user` may do what the scopes say.
        #[arg(long, default_value = "user")]
        role: Role,
        /// What a user may do, such as llm.chat,brainml.query.
        #[arg(long, value_delimiter = ',')]
        scopes: Vec<String>,
    },
    /// Lists the users.
    List,
    /// Lets a user in again.
    Enable { name: String },
    /// Locks a user out, with all his sessions and keys, at once.
    Disable { name: String },
    /// Sets a user's password and ends his sessions; it is asked for, or read from standard input.
    Password { name: String },
    /// Makes someone an admin, or a user with the scopes given.
    Role {
        name: String,
        role: Role,
        /// What a user may do from now on.
        #[arg(long, value_delimiter = ',')]
        scopes: Option<Vec<String>>,
    },
    /// Forgets a user's authenticator, who has lost it.
    TotpOff { name: String },
}

#[derive(Deserialize)]
struct UserList {
    users: Vec<User>,
}

pub(super) async fn run(settings: &Settings, command: Users, json: bool) -> Result<(), CliError> {
    // Asked for first: a gateway is not to wait for someone who types.
    let password = match &command {
        Users::Create { .. } | Users::Password { .. } => Some(read_password()?),
        _ => None,
    };
    let client = Client::connect(settings, &["apikeys"]).await?;
    let done = perform(&client, command, password, json).await;
    client.close().await;
    done
}

async fn perform(
    client: &Client,
    command: Users,
    password: Option<String>,
    json: bool,
) -> Result<(), CliError> {
    let (name, change) = match command {
        Users::Create { name, role, scopes } => {
            let body =
                json!({"username": name, "password": password, "role": role, "scopes": scopes});
            let made: Value = client.post("/admin/users", &body).await?;
            return told(json, made, &format!("user {name} is made"));
        }
        Users::List if json => return say(client.get::<Value>("/admin/users").await?),
        Users::List => return list(&client.get::<UserList>("/admin/users").await?.users),
        Users::Enable { name } => (name, json!({"disabled": false})),
        Users::Disable { name } => (name, json!({"disabled": true})),
        Users::Password { name } => (name, json!({"password": password})),
        Users::Role { name, role, scopes } => (name, json!({"role": role, "scopes": scopes})),
        Users::TotpOff { name } => (name, json!({"totp": false})),
    };
    let path = format!("/admin/users/{}", segment(&name));
    let user: Value = client.patch(&path, &change).await?;
    told(json, user, &format!("user {name} is changed"))
}

fn told(json: bool, answer: Value, sentence: &str) -> Result<(), CliError> {
    if json {
        return say(answer);
    }
    eprintln!("{sentence}");
    Ok(())
}

fn list(users: &[User]) -> Result<(), CliError> {
    for user in users {
        let scopes: Vec<&str> = user.scopes.iter().map(|scope| scope.as_str()).collect();
        let state = match (user.disabled, user.totp) {
            (true, _) => "disabled",
            (false, true) => "with authenticator",
            (false, false) => "",
        };
        let line = format!(
            "{:<20} {:<6} {:<24} {state}",
            user.username,
            user.role.as_str(),
            scopes.join(",")
        );
        say(plain(line.trim_end()))?;
    }
    Ok(())
}

/// From a person without showing it, from a script as the first line; never an argument, which
/// everybody on the machine can see.
fn read_password() -> Result<String, CliError> {
    let failed = |error| CliError::Io {
        what: "reading the password".to_owned(),
        error,
    };
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprint!("password: ");
        return console::Term::stderr().read_secure_line().map_err(failed);
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line).map_err(failed)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
