//! One socket: an actor that is polled as the response body, and so pulls its next frame only when
//! the socket has taken the one before.

use std::{pin::Pin, sync::Arc, time::Instant};

use actix::{
    Actor, ActorContext, ActorFutureExt, ActorState, AsyncContext, StreamHandler, WrapFuture,
};
use actix_http::ws::Item;
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws::{
    CloseCode, CloseReason, Message, ProtocolError, WebsocketContext, WsResponseBuilder,
};
use bytestring::ByteString;
use futures_util::Stream;
use messages::fault::Fault;

use super::Readers;
use crate::http::{
    Drain,
    caller::{Admin, Allowed},
    error::Problem,
};

/// Nobody has anything long to say to a live view, in bytes.
const LARGEST_FRAME: usize = 64 * 1024;

/// The same for a message in several frames.
const LARGEST_MESSAGE: usize = 1024 * 1024;

/// What a socket sends; it is closed when they end.
pub(super) type Frames = Pin<Box<dyn Stream<Item = ByteString>>>;

/// Upgrades a request to a socket that sends `frames`.
pub(super) fn open(
    caller: &Allowed<Admin>,
    request: &HttpRequest,
    body: web::Payload,
    frames: Frames,
) -> Result<HttpResponse, Problem> {
    let session = Session {
        frames: Some(frames),
        drain: caller.edge().drain.clone(),
        still_holds: caller.still_holds(request),
        readers: caller.edge().readers.clone(),
        path: request.path().to_owned(),
        heard: Instant::now(),
        polled: Instant::now(),
        message: 0,
    };
    WsResponseBuilder::new(session, request, body)
        .frame_size(LARGEST_FRAME)
        .start()
        .map_err(|error| Fault::invalid(format!("this is a WebSocket: {error}")).into())
}

struct Session {
    frames: Option<Frames>,
    drain: Arc<Drain>,
    still_holds: Box<dyn Fn() -> bool>,
    readers: Arc<Readers>,
    path: String,
    /// When the peer last said something.
    heard: Instant,
    /// When this last ran on time: a session whose peer takes nothing is not polled.
    polled: Instant,
    /// Bytes so far of a message that comes in several frames.
    message: usize,
}

type Context = WebsocketContext<Session>;

impl Actor for Session {
    type Context = Context;

    fn started(&mut self, ctx: &mut Context) {
        if let Some(frames) = self.frames.take() {
            ctx.add_stream(frames);
        }
        ctx.run_interval(self.readers.beat(), Self::beat);
        let drain = self.drain.clone();
        let closing = async move { drain.closing().await };
        ctx.spawn(closing.into_actor(self).map(|(), _, ctx| {
            close(ctx, CloseCode::Restart, "the gateway is shutting down");
        }));
    }
}

impl Session {
    fn beat(&mut self, ctx: &mut Context) {
        if ctx.state() != ActorState::Running {
            // The context runs once more when its connection drops it.
            return;
        }
        self.polled = Instant::now();
        if self.heard.elapsed() > self.readers.silence {
            self.readers.lost(&self.path);
            return close(ctx, CloseCode::Policy, "no answer to pings");
        }
        if !(self.still_holds)() {
            return close(ctx, CloseCode::Policy, "the key or session has ended");
        }
        ctx.ping(b"");
    }

    /// Adds a piece to the message that comes in several. Answers whether it is too long by now.
    fn add(&mut self, item: &Item) -> bool {
        let (before, piece) = match item {
            Item::FirstText(piece) | Item::FirstBinary(piece) => (0, piece),
            Item::Continue(piece) | Item::Last(piece) => (self.message, piece),
        };
        self.message = before + piece.len();
        self.message > LARGEST_MESSAGE
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The connection has been ended from below, and for that reason.
        if self.polled.elapsed() > self.readers.held_up() {
            self.readers.lost(&self.path);
        }
    }
}

impl StreamHandler<ByteString> for Session {
    fn handle(&mut self, frame: ByteString, ctx: &mut Context) {
        ctx.text(frame);
    }

    fn finished(&mut self, ctx: &mut Context) {
        close(ctx, CloseCode::Normal, "that is all");
    }
}

impl StreamHandler<Result<Message, ProtocolError>> for Session {
    fn handle(&mut self, message: Result<Message, ProtocolError>, ctx: &mut Context) {
        self.heard = Instant::now();
        match message {
            Ok(Message::Ping(bytes)) => ctx.pong(&bytes),
            Ok(Message::Close(reason)) => {
                ctx.close(reason);
                ctx.stop();
            }
            Ok(Message::Continuation(item)) if self.add(&item) => {
                close(ctx, CloseCode::Size, "the message is too large");
            }
            Ok(_) => (),
            Err(ProtocolError::Overflow) => close(ctx, CloseCode::Size, "the frame is too large"),
            Err(_) => close(ctx, CloseCode::Protocol, "this is no WebSocket frame"),
        }
    }
}

fn close(ctx: &mut Context, code: CloseCode, why: &str) {
    ctx.close(Some(CloseReason {
        code,
        description: Some(why.to_owned()),
    }));
    ctx.stop();
}
