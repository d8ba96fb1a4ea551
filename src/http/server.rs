//! The listening sockets: TCP for everyone, and the socket in the data directory for its owner.

mod bare;
pub(crate) mod body;
mod connection;
mod front;
mod head;
pub(crate) mod places;
pub(crate) mod pulse;
mod socket;
pub(crate) mod turn;
pub(crate) mod verdict;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use actix_http::{HttpService, KeepAlive, error::DispatchError};
use actix_server::GracefulShutdownSignal;
use actix_service::{ServiceFactory, ServiceFactoryExt, map_config};
use actix_web::{
    App,
    dev::{AppConfig, Extensions, Server, ServerHandle},
    middleware::from_fn,
    web,
};
use socket2::{Domain, Socket, Type};
use utoipa::OpenApi;
use utoipa_actix_web::AppExt;

use self::{
    connection::Connection,
    front::{Front, Guest},
    pulse::LINGER,
    socket::HiddenSocket,
};
use super::{
    Edge,
    caller::{self, LocalSocket},
    error, limits, openapi, request_id, routes, site,
};
use crate::{settings, start_error::StartError};

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
    let (owners, socket) = HiddenSocket::bind(path)?;
    let builder = Server::build()
        .workers(if tcp { workers(settings) } else { 1 })
        // The front counts connections, and says no aloud; a worker that counts stops accepting.
        .max_concurrent_connections(usize::MAX)
        .disable_signals()
        .shutdown_timeout(settings.drain_seconds.saturating_add(1));
    let closing = builder.graceful_shutdown_signal();
    let front = Front::new(&edge, settings)?;
    let serve = move || http(&edge, &closing).map_err(|error| log::debug!("{error}"));
    let (local, serve_local) = (front.clone(), serve.clone());
    let mut builder = builder
        .listen_uds("owner", owners, move || {
            local.clone().local().and_then(serve_local())
        })
        .map_err(|error| StartError::file(path, error))?;
    let mut address = None;
    if tcp {
        let fault = |error| StartError::Listen {
            address: SocketAddr::from((settings.host, settings.port)),
            error,
        };
        let listener = bind(settings).map_err(fault)?;
        address = Some(listener.local_addr().map_err(fault)?);
        let serve = move || front.clone().tcp().and_then(serve());
        builder = builder.listen("everyone", listener, serve).map_err(fault)?;
    }
    let server = builder.run();
    let handle = server.handle();
    Ok(Listening {
        address,
        socket,
        server,
        handle,
    })
}

/// Connections that may wait to be accepted. The standard library's 128 are fewer than come at once
/// in a rush; those beyond it believe that they stand, and hear nothing for up to a minute.
const WAITING: i32 = 4096;

fn bind(settings: &settings::Server) -> io::Result<TcpListener> {
    let address = SocketAddr::from((settings.host, settings.port));
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart must not wait for the connections that the last life has closed.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(WAITING)?;
    Ok(socket.into())
}

/// What speaks HTTP over a connection. The connection keeps its own time, and nothing else does.
fn http(
    edge: &web::Data<Edge>,
    closing: &GracefulShutdownSignal,
) -> impl ServiceFactory<Guest, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<>
{
    let closing = closing.clone();
    HttpService::build()
        .keep_alive(KeepAlive::Os)
        .client_request_timeout(Duration::ZERO)
        .client_disconnect_timeout(LINGER)
        // Otherwise a client that has left does not cancel its handler.
        .h1_allow_half_closed(false)
        .graceful_shutdown_signal(move || {
            let closing = closing.clone();
            async move { closing.notified().await }
        })
        .on_connect_ext(greet)
        .h1(map_config(app(edge), |()| AppConfig::default()))
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
        .app_data(web::QueryConfig::default().error_handler(error::bad_query))
        .app_data(web::PathConfig::default().error_handler(error::bad_path))
        .configure(routes)
        .split_for_parts();
    let document = openapi::complete(document);
    app.app_data(web::Data::new(error::Methods::of(&document)))
        .app_data(web::Data::new(document))
        .default_service(web::to(site::page))
        .wrap(from_fn(limits::admit))
        .wrap(from_fn(caller::identify))
        .wrap(from_fn(request_id::around))
}

/// Notes for every request who is at the other end, and what the connection is at.
fn greet(connection: &Connection, extensions: &mut Extensions) {
    extensions.insert(connection.pulse());
    if connection.is_local() {
        extensions.insert(LocalSocket);
    }
}
