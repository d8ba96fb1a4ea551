//! Who comes in: a connection gets a place, or is told that there is none.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{
    dev::{ServiceFactory, fn_service},
    rt::net::{TcpStream, UnixStream},
};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{
    connection::{Carrier, Connection},
    places::{Place, Places},
    pulse::{LINGER, Limits},
    verdict,
};
use crate::{
    http::{Edge, tls::TlsError},
    settings,
};

/// How many clients are told at once that there is no place; more are hung up on.
const TOLD_AT_ONCE: usize = 64;

/// A connection, and who is at its other end.
pub(super) type Guest = (Connection, Option<SocketAddr>);

/// What lets connections in. Clones share the places.
#[derive(Clone)]
pub(super) struct Front {
    places: Places,
    limits: Limits,
    encryption: Option<TlsAcceptor>,
    handshake: Duration,
    telling: Arc<Semaphore>,
}

impl Front {
    /// As the settings say.
    pub(super) fn new(edge: &Edge, settings: &settings::Server) -> Result<Self, TlsError> {
        let certificate = edge.certificate.as_ref();
        let encryption = certificate.map(|shown| shown.encryption()).transpose()?;
        Ok(Self {
            places: edge.places.clone(),
            limits: Limits::of(settings),
            encryption: encryption.map(TlsAcceptor::from),
            handshake: settings.tls_handshake_seconds.into(),
            telling: Arc::new(Semaphore::new(TOLD_AT_ONCE)),
        })
    }

    /// Lets people in.
    pub(super) fn tcp(
        self,
    ) -> impl ServiceFactory<TcpStream, Config = (), Response = Guest, Error = (), InitError = ()>
    {
        fn_service(move |socket| {
            let front = self.clone();
            async move { front.admit(socket).await }
        })
    }

    /// Lets the owner in.
    pub(super) fn local(
        self,
    ) -> impl ServiceFactory<UnixStream, Config = (), Response = Guest, Error = (), InitError = ()>
    {
        fn_service(move |socket| {
            let connection = Connection::new(Carrier::Local(socket), self.limits, None);
            async move { Ok((connection, None)) }
        })
    }

    async fn admit(&self, socket: TcpStream) -> Result<Guest, ()> {
        // Whoever has no address has left already.
        let peer = socket.peer_addr().map_err(drop)?;
        let Some(place) = self.places.take(peer.ip()) else {
            self.turn_away(socket);
            return Err(());
        };
        prepare(&socket, self.limits);
        let connection = self.seat(socket, place).await;
        let connection = connection.map_err(|error| log::debug!("{peer}: {error}"))?;
        Ok((connection, Some(peer)))
    }

    /// A handshake has its place already, so that there are no more of them than connections.
    async fn seat(&self, socket: TcpStream, place: Place) -> io::Result<Connection> {
        let carrier = match &self.encryption {
            None => Carrier::Tcp(socket),
            Some(encryption) => {
                let stream = timeout(self.handshake, encryption.accept(socket)).await??;
                Carrier::Tls(Box::new(stream))
            }
        };
        Ok(Connection::new(carrier, self.limits, Some(place)))
    }

    /// Says no, without holding anyone up, and without much trouble: there may be very many.
    fn turn_away(&self, socket: TcpStream) {
        let Ok(turn) = self.telling.clone().try_acquire_owned() else {
            return;
        };
        let encryption = self.encryption.clone();
        actix_web::rt::spawn(async move {
            let _turn = turn;
            let told = timeout(LINGER, async {
                match encryption {
                    None => say_no(socket).await,
                    Some(encryption) => say_no(encryption.accept(socket).await?).await,
                }
            });
            drop(told.await);
        });
    }
}

async fn say_no(mut socket: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    socket.write_all(&verdict::no_place()).await?;
    socket.shutdown().await?;
    // Closed with bytes unread, the socket would take its answer back.
    while socket.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}

/// Small pieces go out at once, and a peer that is gone is noticed.
fn prepare(socket: &TcpStream, limits: Limits) {
    let timeout: Duration = limits.reading;
    let prepared = socket
        .set_nodelay(true)
        .and_then(|()| SockRef::from(socket).set_tcp_user_timeout(Some(timeout)));
    if let Err(error) = prepared {
        log::debug!("the socket's options: {error}");
    }
}
