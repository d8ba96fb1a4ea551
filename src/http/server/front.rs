//! Who comes in: a connection gets a place, or is told that there is none.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{
    dev::{ServiceFactory, fn_service},
    rt::net::{TcpStream, UnixStream},
};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
    time::timeout,
};

use super::{
    connection::{Carrier, Connection},
    places::{Place, Places},
    pulse::{LINGER, Limits},
    verdict,
};
use crate::settings;

/// How many clients are told at once that there is no place; more are hung up on.
const TOLD_AT_ONCE: usize = 64;

/// A connection, and who is at its other end.
pub(super) type Guest = (Connection, Option<SocketAddr>);

/// What lets connections in. Clones share the places.
#[derive(Debug, Clone)]
pub(super) struct Front {
    places: Places,
    limits: Limits,
    telling: Arc<Semaphore>,
}

impl Front {
    /// As the settings say.
    pub(super) fn new(places: Places, settings: &settings::Server) -> Self {
        Self {
            places,
            limits: Limits::of(settings),
            telling: Arc::new(Semaphore::new(TOLD_AT_ONCE)),
        }
    }

    /// Lets people in.
    pub(super) fn tcp(
        self,
    ) -> impl ServiceFactory<TcpStream, Config = (), Response = Guest, Error = (), InitError = ()>
    {
        fn_service(move |socket| {
            let front = self.clone();
            async move { front.admit(socket) }
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

    fn admit(&self, socket: TcpStream) -> Result<Guest, ()> {
        // Whoever has no address has left already.
        let peer = socket.peer_addr().map_err(drop)?;
        match self.places.take(peer.ip()) {
            Some(place) => {
                prepare(&socket, self.limits);
                Ok((self.seat(socket, place), Some(peer)))
            }
            None => {
                self.turn_away(socket);
                Err(())
            }
        }
    }

    fn seat(&self, socket: TcpStream, place: Place) -> Connection {
        Connection::new(Carrier::Tcp(socket), self.limits, Some(place))
    }

    /// Says no, without holding anyone up, and without much trouble: there may be very many.
    fn turn_away(&self, mut socket: TcpStream) {
        let Ok(turn) = self.telling.clone().try_acquire_owned() else {
            return;
        };
        actix_web::rt::spawn(async move {
            let _turn = turn;
            let told = timeout(LINGER, async {
                socket.write_all(&verdict::no_place()).await?;
                socket.shutdown().await?;
                // Closed with bytes unread, the socket would take its answer back.
                while socket.read(&mut [0; 1024]).await? > 0 {}
                Ok::<_, std::io::Error>(())
            });
            drop(told.await);
        });
    }
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
