//! Log-in, log-out and the session that asks.

use std::net::IpAddr;

use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite},
    delete, get, post, web,
};
use messages::{
    apikeys::{
        BeginTotp, Caller, ChangePassword, ConfirmTotp, EndTotp, Login, Logout, NewSession,
        TotpSecret,
    },
    fault::Fault,
    port::Port,
};
use utoipa::ToSchema;

use super::{
    Edge,
    caller::{Allowed, Anyone, origin, session},
    error::{ErrorBody, Problem},
    json::Json,
};

/// How the session cookie is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CookiePolicy {
    /// `__Host-bkg`, `Secure`.
    Secure,
    /// `bkg_session`, on loopback or where the operator allows it.
    Plain,
    /// Not at all: it would cross a network in the clear.
    Refused,
}

impl CookiePolicy {
    /// What fits the address that people use.
    pub(crate) fn of(
        tls: bool,
        public_url: Option<&str>,
        host: IpAddr,
        allow_insecure: bool,
    ) -> Self {
        if tls || public_url.is_some_and(|url| url.starts_with("https://")) {
            Self::Secure
        } else if host.is_loopback() || allow_insecure {
            Self::Plain
        } else {
            Self::Refused
        }
    }

    /// The cookie's name. `__Host-` keeps neighbouring hosts from planting one of theirs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Secure => "__Host-bkg",
            Self::Plain | Self::Refused => PLAIN,
        }
    }

    fn cookie(self, secret: String) -> Cookie<'static> {
        Cookie::build(self.name(), secret)
            .path("/")
            .http_only(true)
            .same_site(SameSite::Strict)
            .secure(self == Self::Secure)
            .finish()
    }
}

/// The name of the cookie without `Secure`.
pub(crate) const PLAIN: &str = "bkg_session";

/// Who is logged in.
#[derive(Debug, serde::Serialize, ToSchema)]
pub(crate) struct SessionBody {
    /// Who asks.
    #[serde(flatten)]
    caller: Caller,
    /// When the session ends at the latest, where one was just opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<jiff::Timestamp>,
}

/// Opens a session and sets its cookie; one that the request still carries ends.
///
/// Where the user has an authenticator, an answer of 401 with the code `totp_required` says that
/// the password was right and `code` is wanted too.
#[utoipa::path(tag = "identity", responses(
    (status = 200, body = SessionBody), (status = 401, body = ErrorBody),
    (status = 403, body = ErrorBody), (status = 429, body = ErrorBody)
))]
#[post("/auth/login")]
pub(crate) async fn login(
    request: HttpRequest,
    edge: web::Data<Edge>,
    body: Json<Login>,
) -> Result<HttpResponse, Problem> {
    if edge.cookies == CookiePolicy::Refused {
        return Err(Fault::denied(
            "log-in needs TLS here: set server.public_url to the https address, or \
             server.allow_insecure_cookies where the network is trusted",
        )
        .into());
    }
    let nobody = origin(&request, Caller::nobody().into());
    let port = Port::<Login>::new(edge.directory.clone(), nobody);
    let wish = Login {
        replaces: session(&request, edge.cookies),
        ..body.into_inner()
    };
    Ok(opened(edge.cookies, &port.call(wish).await?))
}

fn opened(policy: CookiePolicy, session: &NewSession) -> HttpResponse {
    HttpResponse::Ok()
        .cookie(policy.cookie(session.secret.clone()))
        .json(SessionBody {
            caller: Caller::clone(&session.caller),
            expires_at: Some(session.expires_at),
        })
}

/// Ends the session.
#[utoipa::path(tag = "identity", responses((status = 204), (status = 401, body = ErrorBody)), security(("session" = [])))]
#[post("/auth/logout")]
pub(crate) async fn logout(
    request: HttpRequest,
    caller: Allowed<Anyone>,
) -> Result<HttpResponse, Problem> {
    end_session(&request, &caller).await
}

/// Ends the session.
#[utoipa::path(tag = "identity", responses((status = 204), (status = 401, body = ErrorBody)), security(("session" = [])))]
#[delete("/auth/session")]
pub(crate) async fn end(
    request: HttpRequest,
    caller: Allowed<Anyone>,
) -> Result<HttpResponse, Problem> {
    end_session(&request, &caller).await
}

async fn end_session(
    request: &HttpRequest,
    caller: &Allowed<Anyone>,
) -> Result<HttpResponse, Problem> {
    let policy = caller.edge().cookies;
    let Some(digest) = session(request, policy) else {
        return Ok(HttpResponse::NoContent().finish());
    };
    caller.port().call(Logout { digest }).await?;
    let mut removal = policy.cookie(String::new());
    removal.make_removal();
    Ok(HttpResponse::NoContent().cookie(removal).finish())
}

/// Who asks.
#[utoipa::path(tag = "identity", responses(
    (status = 200, body = SessionBody), (status = 401, body = ErrorBody)
), security(("key" = []), ("session" = [])))]
#[get("/auth/session")]
pub(crate) async fn current(caller: Allowed<Anyone>) -> HttpResponse {
    HttpResponse::Ok().json(SessionBody {
        caller: Caller::clone(caller.caller()),
        expires_at: None,
    })
}

/// Changes one's own password: ends all of one's sessions and opens a new one.
#[utoipa::path(tag = "identity", responses(
    (status = 200, body = SessionBody), (status = 401, body = ErrorBody),
    (status = 409, body = ErrorBody), (status = 422, body = ErrorBody), (status = 429, body = ErrorBody)
), security(("session" = [])))]
#[post("/auth/password")]
pub(crate) async fn change_password(
    caller: Allowed<Anyone>,
    body: Json<ChangePassword>,
) -> Result<HttpResponse, Problem> {
    let session = caller.port().call(body.into_inner()).await?;
    Ok(opened(caller.edge().cookies, &session))
}

/// Makes a secret for one's authenticator, by one's password. It counts once a code has confirmed it.
#[utoipa::path(tag = "identity", responses(
    (status = 200, body = TotpSecret), (status = 401, body = ErrorBody), (status = 409, body = ErrorBody),
    (status = 429, body = ErrorBody)
), security(("session" = [])))]
#[post("/auth/totp")]
pub(crate) async fn begin_totp(
    caller: Allowed<Anyone>,
    body: Json<BeginTotp>,
) -> Result<HttpResponse, Problem> {
    let secret = caller.port().call(body.into_inner()).await?;
    Ok(HttpResponse::Ok().json(secret))
}

/// Turns one's second factor on, by a code of the authenticator.
#[utoipa::path(tag = "identity", responses(
    (status = 204), (status = 401, body = ErrorBody), (status = 409, body = ErrorBody),
    (status = 429, body = ErrorBody)
), security(("session" = [])))]
#[post("/auth/totp/confirm")]
pub(crate) async fn confirm_totp(
    caller: Allowed<Anyone>,
    body: Json<ConfirmTotp>,
) -> Result<HttpResponse, Problem> {
    caller.port().call(body.into_inner()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Turns one's second factor off, by one's password.
#[utoipa::path(tag = "identity", responses(
    (status = 204), (status = 401, body = ErrorBody), (status = 409, body = ErrorBody),
    (status = 429, body = ErrorBody)
), security(("session" = [])))]
#[delete("/auth/totp")]
pub(crate) async fn end_totp(
    caller: Allowed<Anyone>,
    body: Json<EndTotp>,
) -> Result<HttpResponse, Problem> {
    caller.port().call(body.into_inner()).await?;
    Ok(HttpResponse::NoContent().finish())
}
