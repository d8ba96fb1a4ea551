//! The listening sockets: TCP for everyone, and the socket in the data directory for its owner.

use std::{
    any::Any,
    fs::Permissions,
    io,
    net::{SocketAddr, TcpListener},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
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
use crate::settings;

/// A peer that has acknowledged nothing for this long is gone: a session that is not polled cannot
/// notice that by itself.
const PEER_TIMEOUT: Duration = Duration::from_secs(30);

/// A server that listens and is not yet running.
pub(crate) struct Listening {
    /// The address for everyone, unless only the owner is served.
    pub(crate) address: Option<SocketAddr>,
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
    socket: &Path,
) -> io::Result<Listening> {
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
        .listen_uds(own_socket(socket)?)?;
    let mut address = None;
    if tcp {
        let listener = TcpListener::bind((settings.host, settings.port))?;
        address = Some(listener.local_addr()?);
        server = server.listen(listener)?;
    }
    let server = server.run();
    let handle = server.handle();
    Ok(Listening {
        address,
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

/// Only the owner may connect. A file that is there is a dead gateway's: the directory is ours.
fn own_socket(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    let listener = UnixListener::bind(path).map_err(|error| {
        io::Error::new(error.kind(), format!("socket {}: {error}", path.display()))
    })?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
