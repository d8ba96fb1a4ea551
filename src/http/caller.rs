//! Who asks: the one guard, as an argument type. A handler that takes `Allowed<LlmChat>` cannot be
//! reached without the scope `llm.chat`.

use std::{
    cell::{Cell, OnceCell},
    future::{Ready, ready},
    marker::PhantomData,
    rc::Rc,
    sync::Arc,
};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::header,
    middleware::Next,
    web,
};
use jiff::Timestamp;
use messages::{
    apikeys::{
        Authenticate, Caller, Digest, Grant, Scope,
        secret::{digest, is_key},
    },
    call::{Capability, Origin},
    fault::Fault,
    port::Port,
    usage::Meter,
};
use tokio_util::sync::CancellationToken;

use super::{
    Edge, address,
    auth::CookiePolicy,
    cross_site::{refuse_foreign, refuse_foreign_socket, refuse_with_cookie},
    error::Problem,
    limits::Metered,
    request_id::RequestId,
    site,
    tally::Tally,
    traces,
};

/// A scope that a route needs, as a type.
pub(crate) trait Need: 'static {
    /// The scope; nothing where any caller will do.
    const SCOPE: Option<Scope>;

    /// Whether `caller` may come in.
    ///
    /// # Errors
    /// [`Denied`](messages::fault::FaultKind::Denied), with what is missing.
    fn check(caller: &Caller) -> Result<(), Fault> {
        Self::SCOPE.map_or(Ok(()), |scope| caller.require(&scope))
    }
}

macro_rules! needs {
    ($($(#[$doc:meta])* $name:ident = $scope:expr;)*) => {
        $($(#[$doc])* #[derive(Debug)] pub(crate) struct $name;
        impl Need for $name { const SCOPE: Option<Scope> = $scope; })*
    };
}

needs! {
    /// Anyone who is known.
    Anyone = None;
    /// `admin`.
    Admin = Some(Scope::ADMIN);
    /// `llm.chat`.
    LlmChat = Some(Scope::LLM_CHAT);
    /// `llm.embed`.
    LlmEmbed = Some(Scope::LLM_EMBED);
    /// `brainml.index`.
    BrainmlIndex = Some(Scope::BRAINML_INDEX);
    /// `brainml.query`.
    BrainmlQuery = Some(Scope::BRAINML_QUERY);
    /// `brainml.stats`.
    BrainmlStats = Some(Scope::BRAINML_STATS);
    /// `brainml.admin`.
    BrainmlAdmin = Some(Scope::BRAINML_ADMIN);
}

/// Whoever manages keys: people their own, as far as their scopes reach, and keys with `admin`.
#[derive(Debug)]
pub(crate) struct KeyKeeper;

impl Need for KeyKeeper {
    const SCOPE: Option<Scope> = Some(Scope::ADMIN);

    fn check(caller: &Caller) -> Result<(), Fault> {
        match caller.is_session() {
            true => Ok(()),
            false => caller.require(&Scope::ADMIN),
        }
    }
}

/// A caller that has the scope `S`, with the origin of every call made for it.
pub(crate) struct Allowed<S> {
    origin: Origin,
    later: Rc<Later>,
    edge: web::Data<Edge>,
    tally: Option<Tally>,
    scope: PhantomData<S>,
}

impl<S> Allowed<S> {
    /// A port whose calls are made for this caller.
    pub(crate) fn port<C: Capability>(&self) -> Port<C> {
        let origin = Origin {
            caller: self.caller().clone(),
            ..self.origin.clone()
        };
        Port::new(self.edge.directory.clone(), origin)
    }

    /// Who asks.
    pub(crate) fn caller(&self) -> &Arc<Caller> {
        self.later.caller.get().unwrap_or(&self.origin.caller)
    }

    /// What all handlers share.
    pub(crate) fn edge(&self) -> &Edge {
        &self.edge
    }

    /// What is counted of this request.
    pub(crate) fn tally(&self) -> Option<&Tally> {
        self.tally.as_ref()
    }

    /// Refuses unless the caller has one more scope than the route needs.
    pub(crate) fn also(&self, scope: &Scope) -> Result<(), Fault> {
        self.caller().require(scope)
    }
}

impl<S: Need> Allowed<S> {
    /// Whether the credential that came with the request still holds and still allows this: for
    /// what outlives a request.
    pub(crate) fn still_holds(&self, request: &HttpRequest) -> Box<dyn Fn() -> bool> {
        if request.conn_data::<LocalSocket>().is_some() {
            return Box::new(|| true);
        }
        let (edge, shown) = (self.edge.clone(), presented(&self.edge, request));
        let digest = shown.ok().flatten();
        Box::new(move || {
            let grant = digest.and_then(|digest| edge.credentials.grant(&digest, Timestamp::now()));
            grant.is_some_and(|grant| S::check(&grant.caller).is_ok())
        })
    }
}

impl<S: Need> FromRequest for Allowed<S> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    // Ready at once: of several extractors the first that fails gives the answer, and nobody whom
    // the gateway does not know is to learn what it thinks of a body.
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(allowed(request).map_err(Problem::from))
    }
}

fn allowed<S: Need>(request: &HttpRequest) -> Result<Allowed<S>, Fault> {
    // Now, because a client that leaves takes the request with it.
    if let Some(tally) = Tally::of(request) {
        tally.route(request);
    }
    let asker = request.extensions().get::<Asker>().cloned();
    let asker = asker.ok_or_else(|| Fault::internal("nobody asked who the caller is"))?;
    let (caller, later) = (asker.caller?, asker.later);
    S::check(&caller)?;
    later.check.set(Some(S::check));
    let tally = Tally::of(request);
    if let Some(tally) = &tally {
        // Now, because a client that leaves takes the request with it.
        tally.route(request);
    }
    Ok(Allowed {
        origin: origin(request, caller),
        later,
        edge: edge(request)?,
        tally,
        scope: PhantomData,
    })
}

/// Who asks, or why that is not known.
#[derive(Debug, Clone)]
struct Asker {
    caller: Result<Arc<Caller>, Fault>,
    /// What he showed; nothing over the owner's socket.
    digest: Option<Digest>,
    later: Rc<Later>,
}

impl From<Result<Known, Fault>> for Asker {
    fn from(known: Result<Known, Fault>) -> Self {
        let digest = known.as_ref().ok().and_then(|known| known.digest);
        Self {
            caller: known.map(|known| known.caller),
            digest,
            later: Rc::default(),
        }
    }
}

/// [`Need::check`] of one route.
type Check = fn(&Caller) -> Result<(), Fault>;

/// What the end of a body tells of its sender.
#[derive(Debug, Default)]
struct Later {
    /// What the route wants of him.
    check: Cell<Option<Check>>,
    /// What he may do since then.
    caller: OnceCell<Arc<Caller>>,
}

/// Judges the sender of a body anew when all of it has come. That may take minutes after the head,
/// and a credential that was revoked meanwhile must not act.
///
/// # Errors
/// That of a credential that does not hold, or of a scope that is gone.
pub(crate) async fn confirm(request: &HttpRequest) -> Result<(), Fault> {
    let asker = request.extensions().get::<Asker>().cloned();
    let Some(Asker {
        caller: Ok(_),
        digest: Some(digest),
        later,
    }) = asker
    else {
        return Ok(());
    };
    let edge = edge(request)?;
    let grant = match edge.credentials.grant(&digest, Timestamp::now()) {
        Some(grant) => grant,
        None => look_up(&edge, request, digest).await?,
    };
    if let Some(check) = later.check.get() {
        check(&grant.caller)?;
    }
    // One body, one end: it is never set already.
    later.caller.get_or_init(|| grant.caller);
    Ok(())
}

/// The middleware that finds out who asks. It refuses nobody, and where anyone may ask it does not
/// even look: those routes must answer while `apikeys` cannot.
pub(crate) async fn identify<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    // As routes are found: decoded.
    let path = request.match_info().as_str();
    if path == LOGIN
        && let Ok(edge) = edge(request.request())
    {
        refuse_foreign(&edge, request.request()).map_err(Problem::from)?;
    }
    if !PUBLIC.contains(&path) && !site::answers(request.request()) {
        let known = match edge(request.request()) {
            Ok(edge) => authenticate(&edge, request.request()).await,
            Err(fault) => Err(fault),
        };
        if let (Ok(known), Some(tally)) = (&known, Tally::of(request.request())) {
            tally.note(|facts| facts.caller = Some(known.caller.clone()));
        }
        if let Ok(Known {
            meter: Some(meter), ..
        }) = &known
        {
            request.extensions_mut().insert(Metered(meter.clone()));
        }
        request.extensions_mut().insert(Asker::from(known));
    }
    next.call(request).await
}

/// Another site's page could log its visitor in as someone whom it knows.
const LOGIN: &str = "/auth/login";

/// Routes that anyone may use.
const PUBLIC: [&str; 4] = [LOGIN, "/health/live", "/health/ready", "/openapi.json"];

/// What all handlers share.
pub(crate) fn edge(request: &HttpRequest) -> Result<web::Data<Edge>, Fault> {
    let edge = request.app_data::<web::Data<Edge>>();
    edge.cloned()
        .ok_or_else(|| Fault::internal("the HTTP edge was built without its shared state"))
}

/// The origin of calls made for `request` on behalf of `caller`.
pub(crate) fn origin(request: &HttpRequest, caller: Arc<Caller>) -> Origin {
    Origin {
        request_id: RequestId::of(request),
        trace: traces::of(request),
        caller,
        address: address::of(request),
        deadline: None,
        cancel: CancellationToken::new(),
    }
}

/// Who asks, the meter of his key, and what he showed.
struct Known {
    caller: Arc<Caller>,
    meter: Option<Arc<Meter>>,
    digest: Option<Digest>,
}

impl Known {
    fn by(digest: Digest, grant: Grant) -> Self {
        Self {
            caller: grant.caller,
            meter: grant.meter,
            digest: Some(digest),
        }
    }
}

/// Finds out who asks, from the published table; only a credential that is not there costs a
/// look-up.
async fn authenticate(edge: &Edge, request: &HttpRequest) -> Result<Known, Fault> {
    if request.conn_data::<LocalSocket>().is_some() {
        return Ok(Known {
            caller: Arc::new(Caller::owner()),
            meter: None,
            digest: None,
        });
    }
    let digest = presented(edge, request)?.ok_or_else(refusal)?;
    refuse_foreign_socket(edge, request)?;
    let now = Timestamp::now();
    let Some(grant) = edge.credentials.grant(&digest, now) else {
        let found = look_up(edge, request, digest).await?;
        return Ok(Known::by(digest, found));
    };
    if grant.note_after.is_some_and(|after| after <= now) {
        // The request does not wait for this.
        let port = on_our_account(edge, request);
        actix_web::rt::spawn(async move { port.call(Authenticate { digest }).await });
    }
    Ok(Known::by(digest, grant))
}

/// What a credential allows that is not in the published table.
async fn look_up(edge: &Edge, request: &HttpRequest, digest: Digest) -> Result<Grant, Fault> {
    let port = on_our_account(edge, request);
    let found = port.call(Authenticate { digest }).await?;
    found.ok_or_else(refusal)
}

fn on_our_account(edge: &Edge, request: &HttpRequest) -> Port<Authenticate> {
    let owner = origin(request, Arc::new(Caller::owner()));
    Port::new(edge.directory.clone(), owner)
}

/// The digest of the credential that the request carries, if it carries a well-formed one.
///
/// # Errors
/// Where it is a cookie that a browser sent for another site's page.
fn presented(edge: &Edge, request: &HttpRequest) -> Result<Option<Digest>, Fault> {
    let header = |name: &str| request.headers().get(name)?.to_str().ok();
    if let Some(value) = header(header::AUTHORIZATION.as_str()) {
        let bearer = value.split_once(' ');
        let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        return Ok(bearer.and_then(|(_, key)| key_digest(key.trim())));
    }
    if let Some(key) = header("x-api-key") {
        return Ok(key_digest(key));
    }
    let session = session(request, edge.cookies);
    if session.is_some() {
        refuse_with_cookie(edge, request)?;
    }
    Ok(session)
}

/// A key whose checksum is wrong is no key: it is refused without a look-up.
fn key_digest(key: &str) -> Option<Digest> {
    is_key(key).then(|| digest(key))
}

/// The digest of the session cookie. A key in its place is no session: both are found in one table.
pub(crate) fn session(request: &HttpRequest, policy: CookiePolicy) -> Option<Digest> {
    let cookie = request.cookie(policy.name())?;
    (!is_key(cookie.value())).then(|| digest(cookie.value()))
}

/// One answer for every credential that does not hold, so that nothing can be learnt from it.
fn refusal() -> Fault {
    Fault::unauthenticated(
        "this needs a valid key: send `Authorization: Bearer bkg_…`, or log in; \
         `bkg keys create --name NAME --scopes SCOPES` makes a key",
    )
    .with_code("invalid_api_key")
}

/// Marks a connection over the socket in the data directory, whose peer is the owner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalSocket;
