//! The listening sockets: TCP for everyone, and the socket in the data directory for its owner.

use std::{
    any::Any,
    fs::Permissions,
    io,
    net::{SocketAddr, TcpListener},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
    time::Duration,
};

use actix_web::{
    App, HttpServer,
    dev::{Extensions, Server, ServerHandle},
    middleware::from_fn,
    rt::net::{TcpStream, UnixStream},
    web,
};
use socket2::SockRef;
use utoipa::OpenApi;
use utoipa_actix_web::AppExt;

use super::{
    Edge,
    caller::{self, LocalSocket},
    error, json, openapi, request_id, routes,
};
use crate::{settings, start_error::StartError};

/// A peer that has acknowledged nothing for this long is gone: a session that is not polled cannot
/// notice that by itself.
const PEER_TIMEOUT: Duration = Duration::from_secs(30);

/// A server that listens and is not yet running.
pub(crate) struct Listening {
    /// The address for everyone, unless only the owner is served.
    pub(crate) address: Option<SocketAddr>,
    /// The owner's socket, which nobody can find yet.
    pub(crate) socket: HiddenSocket,
    /// What runs it.
    pub(crate) server: Server,
    /// What stops it.
    pub(crate) handle: ServerHandle,
}

/// Binds the sockets. Without `tcp` only the owner is served.
pub(crate) fn listen(
    edge: web::Data<Edge>,
    settings: &settings::Server,
    tcp: bool,
    path: &Path,
) -> Result<Listening, StartError> {
    let (listener, socket) = HiddenSocket::bind(path)?;
    let workers = if tcp { workers(settings) } else { 1 };
    let drain = Duration::from_secs(settings.drain_seconds);
    let mut server = HttpServer::new(move || app(&edge))
        .workers(workers)
        .tcp_nodelay(true)
        // Otherwise a client that has left does not cancel its handler.
        .h1_allow_half_closed(false)
        .on_connect(greet)
        .disable_signals()
        .shutdown_timeout(drain.as_secs() + 1)
        .listen_uds(listener)
        .map_err(|error| StartError::file(path, error))?;
    let mut address = None;
    if tcp {
        let wanted = SocketAddr::from((settings.host, settings.port));
        let fault = |error| StartError::Listen {
            address: wanted,
            error,
        };
        let listener = TcpListener::bind(wanted).map_err(fault)?;
        address = Some(listener.local_addr().map_err(fault)?);
        server = server.listen(listener).map_err(fault)?;
    }
    let server = server.run();
    let handle = server.handle();
    Ok(Listening {
        address,
        socket,
        server,
        handle,
    })
}

fn workers(settings: &settings::Server) -> usize {
    match settings.workers {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        workers => workers,
    }
}

fn app(
    edge: &web::Data<Edge>,
) -> App<
    impl actix_web::dev::ServiceFactory<
        actix_web::dev::ServiceRequest,
        Config = (),
        Response = actix_web::dev::ServiceResponse<impl actix_web::body::MessageBody + use<>>,
        Error = actix_web::Error,
        InitError = (),
    > + use<>,
> {
    let (app, document) = App::new()
        .into_utoipa_app()
        .openapi(openapi::Base::openapi())
        .app_data(edge.clone())
        .app_data(json(edge.body_limit))
        .app_data(web::PayloadConfig::new(edge.body_limit))
        .app_data(web::QueryConfig::default().error_handler(error::bad_query))
        .app_data(web::PathConfig::default().error_handler(error::bad_path))
        .configure(|app| routes(app, edge))
        .split_for_parts();
    let document = openapi::complete(document);
    app.app_data(web::Data::new(error::Methods::of(&document)))
        .app_data(web::Data::new(document))
        .default_service(web::to(error::nowhere))
        .wrap(from_fn(caller::identify))
        .wrap(from_fn(request_id::around))
}

/// Notes who is at the other end, and makes sure that a dead peer is noticed.
fn greet(connection: &dyn Any, extensions: &mut Extensions) {
    if connection.is::<UnixStream>() {
        extensions.insert(LocalSocket);
    }
    if let Some(stream) = connection.downcast_ref::<TcpStream>() {
        let set = SockRef::from(stream).set_tcp_user_timeout(Some(PEER_TIMEOUT));
        if let Err(error) = set {
            log::debug!("TCP_USER_TIMEOUT: {error}");
        }
    }
}

/// A socket that only the owner may connect to, under a name that nobody looks for until
/// [`HiddenSocket::publish`].
#[derive(Debug)]
pub(crate) struct HiddenSocket {
    hidden: PathBuf,
    path: PathBuf,
}

impl HiddenSocket {
    /// Files that are there already are a dead gateway's: the directory is ours.
    fn bind(path: &Path) -> Result<(UnixListener, Self), StartError> {
        let hidden = path.with_extension("sock.new");
        let bind = || {
            remove(path)?;
            remove(&hidden)?;
            let listener = UnixListener::bind(&hidden)?;
            std::fs::set_permissions(&hidden, Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = bind().map_err(|error| StartError::file(path, error))?;
        let path = path.to_owned();
        Ok((listener, Self { hidden, path }))
    }

    /// Lets commands find it.
    pub(crate) fn publish(self) -> Result<(), StartError> {
        let renamed = std::fs::rename(&self.hidden, &self.path);
        renamed.map_err(|error| StartError::file(&self.path, error))
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
