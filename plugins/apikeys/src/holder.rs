//! Who asks, as he stands inside the write turn. A request waits: for its body, for a password's
//! hash, for its turn. What let it in may have ended meanwhile, and a change must not outrun that.

use diesel::{prelude::*, sqlite::SqliteConnection};
use messages::{
    apikeys::{Caller, Scopes},
    call::Origin,
    fault::Fault,
    usage::Limits,
};
use store::StoreError;

use crate::{
    rows::{KeyRow, read_scopes},
    schema::{api_keys, sessions, users},
    users::check_scopes,
};

/// Whoever asks, with what he may do now.
#[derive(Debug)]
pub(crate) struct Holder {
    /// Where the call comes from; its caller has the scopes that he has now.
    pub(crate) by: Origin,
    /// The limits of the key that he holds; none where he holds none.
    pub(crate) limits: Limits,
    /// When that key ends, in Unix milliseconds. A person's session does not bind what he makes.
    pub(crate) ends_at: Option<i64>,
}

impl Holder {
    /// Finds what `by` holds at `now`.
    ///
    /// # Errors
    /// [`Unauthenticated`](messages::fault::FaultKind::Unauthenticated) when it has ended.
    pub(crate) fn find(
        conn: &mut SqliteConnection,
        by: Origin,
        now: i64,
    ) -> Result<Self, StoreError> {
        if by.caller.id == Caller::owner().id {
            return Ok(Self::with(by, None, Limits::default(), None));
        }
        if let Some(id) = by.caller.key() {
            let (row, scopes) = live_key(conn, id, now)?.ok_or_else(gone)?;
            let scopes = read_scopes(&row.scopes).shared_with(&read_scopes(&scopes));
            return Ok(Self::with(
                by,
                Some(scopes),
                row.limits.into(),
                row.expires_at,
            ));
        }
        let id = by.caller.id.strip_prefix("session:").ok_or_else(gone)?;
        let scopes = live_session(conn, id, now)?.ok_or_else(gone)?;
        Ok(Self::with(
            by,
            Some(read_scopes(&scopes)),
            Limits::default(),
            None,
        ))
    }

    fn with(by: Origin, scopes: Option<Scopes>, limits: Limits, ends_at: Option<i64>) -> Self {
        let caller = match scopes {
            Some(scopes) => Caller {
                scopes,
                ..(*by.caller).clone()
            }
            .into(),
            None => by.caller.clone(),
        };
        Self {
            by: Origin { caller, ..by },
            limits,
            ends_at,
        }
    }

    pub(crate) fn caller(&self) -> &Caller {
        &self.by.caller
    }

    /// Refuses a key beyond what the holder has himself: in its scopes, its limits, or its end.
    pub(crate) fn check_reach(&self, row: &KeyRow) -> Result<(), Fault> {
        check_scopes(self.caller(), &read_scopes(&row.scopes))?;
        self.check_limits(&row.limits.into())?;
        self.check_end(row.expires_at)
    }

    fn check_limits(&self, wanted: &Limits) -> Result<(), Fault> {
        wanted.check()?;
        self.limits.beyond(wanted).map_or(Ok(()), |limit| {
            Err(Fault::denied(format!(
                "{} has a limit of {limit} itself and cannot hand out a wider one",
                self.caller().id
            ))
            .with_param(format!("limits.{limit}"))
            .with_code("limit_exceeds_own"))
        })
    }

    fn check_end(&self, wanted: Option<i64>) -> Result<(), Fault> {
        let Some(own) = self.ends_at else {
            return Ok(());
        };
        if wanted.is_some_and(|wanted| wanted <= own) {
            return Ok(());
        }
        Err(Fault::denied(format!(
            "{} ends itself and cannot have a key that ends later or never",
            self.caller().id
        ))
        .with_param("expires_at")
        .with_code("expiry_exceeds_own"))
    }
}

fn live_key(
    conn: &mut SqliteConnection,
    id: &str,
    now: i64,
) -> Result<Option<(KeyRow, String)>, StoreError> {
    let ends = api_keys::expires_at;
    Ok(api_keys::table
        .inner_join(users::table)
        .filter(api_keys::id.eq(id))
        .filter(api_keys::revoked_at.is_null())
        .filter(ends.is_null().or(ends.gt(now)))
        .filter(users::disabled.eq(false))
        .select((KeyRow::as_select(), users::scopes))
        .first(conn)
        .optional()?)
}

/// The scopes of a session's user. Whether it fell idle is not asked: this very request uses it.
fn live_session(
    conn: &mut SqliteConnection,
    id: &str,
    now: i64,
) -> Result<Option<String>, StoreError> {
    Ok(sessions::table
        .inner_join(users::table)
        .filter(sessions::id.eq(id))
        .filter(sessions::expires_at.gt(now))
        .filter(users::disabled.eq(false))
        .select(users::scopes)
        .first(conn)
        .optional()?)
}

fn gone() -> Fault {
    Fault::unauthenticated("what you came with has ended meanwhile")
}
