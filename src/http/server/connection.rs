//! One connection: the bytes of its socket, until its client takes too long over the next.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::rt::net::{TcpStream, UnixStream};
use bytes::{Buf, BytesMut};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep, sleep_until},
};
use tokio_rustls::server::TlsStream;

use super::{
    bare::Bare,
    places::Place,
    pulse::{Awaited, Limits, Pulse},
    verdict,
};

/// Bytes read at once of what comes before its turn.
const PIECE: usize = 4 << 10;

/// Bytes kept of what comes before its turn; more is left in the socket.
const EARLY: usize = 16 << 10;

/// What carries the bytes.
pub(super) enum Carrier {
    /// In the clear.
    Tcp(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
    /// From the owner, on this machine.
    Local(UnixStream),
}

/// A connection that keeps its deadlines by itself. However it ends, its place is given back.
pub(super) struct Connection {
    carrier: Carrier,
    pulse: Rc<Pulse>,
    timer: Pin<Box<Sleep>>,
    /// Whether the timer will wake us. It is left to run where its time is too early: setting it
    /// for every request would cost more than looking once when it fires.
    armed: bool,
    /// What has come before its turn.
    early: BytesMut,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// What is being sent in place of an answer of the parser's.
    bare: Option<Bare>,
    _place: Option<Place>,
}

impl Connection {
    /// Over `carrier`; the owner's takes no place.
    pub(super) fn new(carrier: Carrier, limits: Limits, place: Option<Place>) -> Self {
        Self {
            carrier,
            pulse: Pulse::new(limits),
            timer: Box::pin(sleep_until(Instant::now())),
            armed: false,
            early: BytesMut::new(),
            stalled: None,
            bare: None,
            _place: place,
        }
    }

    /// What it is at, for the requests on it.
    pub(super) fn pulse(&self) -> Rc<Pulse> {
        self.pulse.clone()
    }

    /// Whether it comes from the owner.
    pub(super) fn is_local(&self) -> bool {
        matches!(self.carrier, Carrier::Local(_))
    }

    /// While a request is at work, what comes is read only to notice that the client has left. The
    /// parser would keep it too, and once it had its fill ask for more without a pause.
    fn poll_early(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.early.len() < EARLY {
            let mut space = [MaybeUninit::uninit(); PIECE];
            let mut piece = ReadBuf::uninit(&mut space);
            ready!(
                self.carrier
                    .poll(cx, |socket, cx| socket.poll_read(cx, &mut piece))
            )?;
            if piece.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.early.extend_from_slice(piece.filled());
            self.pulse.keep_early();
        }
        Poll::Pending
    }

    /// Ready, with the end of the input, once the client has taken too long.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(deadline) = self.pulse.deadline() {
            if !self.armed || deadline < self.timer.deadline() {
                self.timer.as_mut().reset(deadline);
                self.armed = true;
            }
            ready!(self.timer.as_mut().poll(cx));
            self.armed = false;
            if deadline <= Instant::now() {
                self.say_too_slow(cx);
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Pending
    }

    /// An unfinished head gets an answer, unless another one is still on its way.
    fn say_too_slow(&mut self, cx: &mut Context<'_>) {
        if let Some(Awaited::Head(_)) = self.pulse.awaited()
            && self.stalled.is_none()
        {
            let answer = verdict::slow_head();
            // A socket that has no room for a few bytes gets none.
            drop(
                self.carrier
                    .poll(cx, |socket, cx| socket.poll_write(cx, &answer)),
            );
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self
            .carrier
            .poll(cx, |socket, cx| socket.poll_write(cx, bytes));
        self.watch(cx, written)
    }

    /// Cuts the client off once it has taken nothing for too long.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.pulse.reading();
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(timer.as_mut().poll(cx));
        self.carrier.cut();
        let error = "the client does not read its answer";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, error)))
    }
}

impl Carrier {
    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        with: impl FnOnce(Pin<&mut dyn Socket>, &mut Context<'_>) -> T,
    ) -> T {
        match self {
            Self::Tcp(socket) => with(Pin::new(socket), cx),
            Self::Tls(socket) => with(Pin::new(&mut **socket), cx),
            Self::Local(socket) => with(Pin::new(socket), cx),
        }
    }

    /// The kernel forgets at once what it could not send.
    fn cut(&self) {
        let cut = match self {
            Self::Tcp(socket) => SockRef::from(socket).set_linger(Some(Duration::ZERO)),
            Self::Tls(socket) => SockRef::from(socket.get_ref().0).set_linger(Some(Duration::ZERO)),
            Self::Local(_) => Ok(()),
        };
        if let Err(error) = cut {
            log::debug!("SO_LINGER: {error}");
        }
    }
}

/// Something with two ends.
trait Socket: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Socket for T {}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.pulse.watch(cx);
        if self.pulse.is_early() {
            return self.poll_early(cx);
        }
        if !self.early.is_empty() {
            let length = self.early.len().min(buffer.remaining());
            let early = self.early.split_to(length);
            buffer.put_slice(&early);
            self.pulse.heard(&early);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = self
            .carrier
            .poll(cx, |socket, cx| socket.poll_read(cx, buffer));
        if read.is_pending() {
            return self.poll_overdue(cx);
        }
        let heard = buffer.filled().get(before..).unwrap_or_default();
        self.pulse.heard(heard);
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.bare.is_none() {
            self.bare = Bare::of(bytes);
        }
        let Some(mut bare) = self.bare.take() else {
            return self.poll_send(cx, bytes);
        };
        while !bare.answer.is_empty() {
            match self.poll_send(cx, &bare.answer) {
                Poll::Ready(Ok(sent)) if sent > 0 => bare.answer.advance(sent),
                Poll::Ready(Ok(_)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.bare = Some(bare);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(bare.length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.carrier.poll(cx, |socket, cx| socket.poll_flush(cx));
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = self.carrier.poll(cx, |socket, cx| socket.poll_shutdown(cx));
        self.watch(cx, shut)
    }
}
