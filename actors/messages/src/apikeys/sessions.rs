//! Sessions: logging in and out, and what a user does with his own password and authenticator.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Caller, Digest};

/// A session just opened.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// The cookie's value.
    pub secret: String,
    /// Who asks.
    pub caller: Arc<Caller>,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
}

/// Opens a session by name and password.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The user's name.
    pub username: String,
    /// The user's password.
    pub password: String,
    /// The code that the user's authenticator shows, where he has one.
    #[serde(default)]
    pub code: Option<String>,
    /// SHA-256 of the cookie of the session that this one replaces; never part of a body.
    #[serde(skip)]
    pub replaces: Option<Digest>,
}

/// Ends the session that `digest` belongs to.
#[derive(Debug, Clone)]
pub struct Logout {
    /// SHA-256 of the session's cookie.
    pub digest: Digest,
}

/// Changes the password of the user whose session asks, ends all his sessions and opens a new one.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The present password.
    pub current: String,
    /// The one from now on: at least 8 characters.
    pub new: String,
}

/// Makes a secret for an authenticator; it counts once a code has confirmed it.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginTotp {
    /// The user's password: whoever finds a session open must not bind a factor of his own to it.
    pub password: String,
}

/// What an authenticator is to be told, this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TotpSecret {
    /// The secret in base 32, to be typed.
    pub secret: String,
    /// The same as an `otpauth://` address, to be shown as a picture.
    pub url: String,
}

/// Turns the second factor on: from now on log-in wants a code.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmTotp {
    /// What the authenticator shows.
    pub code: String,
}

/// Turns the second factor off.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndTotp {
    /// The user's password.
    pub password: String,
}
