//! Users: their roles, and what an admin may do with them.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Scope, Scopes};
use crate::fault::Fault;

/// What kind of user someone is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May do everything.
    Admin,
    /// May do what his scopes say, which are never `admin` or `*`.
    #[default]
    User,
}

impl Role {
    /// The role's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::User => "user",
        }
    }

    /// The scopes of a user with this role who is to have `wanted`.
    ///
    /// # Errors
    /// [`Unprocessable`](crate::fault::FaultKind::Unprocessable) where the two do not fit.
    pub fn scopes(self, wanted: Scopes) -> Result<Scopes, Fault> {
        let everything = Scopes::from_iter([Scope::EVERYTHING]);
        let fits = match self {
            Self::Admin if wanted.is_empty() || wanted == everything => return Ok(everything),
            Self::Admin => Err("an admin may do everything: leave the scopes out"),
            Self::User if wanted.is_empty() => Err("name at least one scope"),
            Self::User if wanted.allow(&Scope::ADMIN) => {
                Err("a user has neither the scope admin nor *: that is what the role admin is for")
            }
            Self::User => Ok(wanted),
        };
        fits.map_err(|why| Fault::unprocessable(why).with_param("scopes"))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Fault;

    fn from_str(name: &str) -> Result<Self, Fault> {
        match name {
            "admin" => Ok(Self::Admin),
            "user" => Ok(Self::User),
            _ => Err(
                Fault::unprocessable(format!("a role is admin or user, not {name:?}"))
                    .with_param("role"),
            ),
        }
    }
}

/// A user as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// The name that the user logs in with.
    pub username: String,
    /// What kind of user it is.
    pub role: Role,
    /// What the user may do.
    pub scopes: Scopes,
    /// When the user was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Whether the user is locked out, with all his keys.
    pub disabled: bool,
    /// Whether log-in wants a code from an authenticator too.
    pub totp: bool,
}

/// Makes a user. Its scopes may not go beyond the caller's.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUser {
    /// 1 to 64 characters of `a-z 0-9 . _ -`.
    pub username: String,
    /// At least 8 characters.
    pub password: String,
    /// What kind of user it is.
    #[serde(default)]
    pub role: Role,
    /// What the user may do: at least one scope; for an admin, who may do everything, none.
    #[serde(default)]
    pub scopes: Scopes,
}

/// Lists the users.
#[derive(Debug, Clone)]
pub struct ListUsers;

/// Changes a user, in force before it is answered: in his sessions, in his keys.
#[derive(Debug, Clone)]
pub struct ChangeUser {
    /// Whom.
    pub username: String,
    /// What changes.
    pub change: UserChange,
}

/// What changes of a user; what is not named stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// Locks the user out or lets him in again; locking out ends his sessions and refuses his keys.
    #[serde(default)]
    pub disabled: Option<bool>,
    /// What kind of user it is from now on; who ceases to be an admin needs `scopes`.
    #[serde(default)]
    pub role: Option<Role>,
    /// What the user may do from now on.
    #[serde(default)]
    pub scopes: Option<Scopes>,
    /// A new password; it ends the user's sessions.
    #[serde(default)]
    pub password: Option<String>,
    /// `false` forgets the user's authenticator, who has lost it. Only he can set up one.
    #[serde(default)]
    pub totp: Option<bool>,
}
