//! Thousands of connections that send a byte a second: half of them a head, half of them a body.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::target::Target;

/// In how many turns all of them send their byte.
const TURNS: usize = 20;

/// What the slow ones have seen.
#[derive(Default)]
pub struct Seen {
    /// Set to end them.
    pub over: AtomicBool,
    open: AtomicU64,
    ended: AtomicU64,
}

impl Seen {
    /// How many are open now.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// How many the other side has ended; as many new ones took their places.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }
}

/// Keeps `count` slow connections open until it is over.
pub fn dawdle(target: &Target, count: usize, seen: &Seen) {
    let head = target.head("POST", target.path, "content-type: application/json\r\n");
    let body = format!("{head}content-length: 1000\r\n\r\n").into_bytes();
    let head = head.into_bytes();
    let mut slow: Vec<Slow> = (0..count)
        .map(|place| Slow {
            stream: None,
            opening: if place % 2 == 0 { &head } else { &body },
        })
        .collect();
    while !seen.over.load(Ordering::Relaxed) {
        for turn in 0..TURNS {
            let until = Instant::now() + Duration::from_secs(1) / 20;
            for one in slow.iter_mut().skip(turn).step_by(TURNS) {
                one.go_on(target, seen);
            }
            thread::sleep(until.saturating_duration_since(Instant::now()));
        }
    }
}

struct Slow<'a> {
    stream: Option<TcpStream>,
    opening: &'a [u8],
}

impl Slow<'_> {
    /// Sends one more byte, or begins again.
    fn go_on(&mut self, target: &Target, seen: &Seen) {
        let ended = self
            .stream
            .as_mut()
            .map(drip)
            .is_some_and(|sent| sent.is_err());
        if ended {
            self.stream = None;
            seen.open.fetch_sub(1, Ordering::Relaxed);
            seen.ended.fetch_add(1, Ordering::Relaxed);
        }
        if self.stream.is_none() {
            self.stream = self.begin(target).ok();
            if self.stream.is_some() {
                seen.open.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn begin(&self, target: &Target) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect_timeout(&target.address, Duration::from_secs(1))?;
        stream.write_all(self.opening)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }
}

/// Sends a byte that may stand in a header's name as well as in a body.
fn drip(stream: &mut TcpStream) -> io::Result<()> {
    match stream.read(&mut [0; 512]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.write_all(b"x"),
        // Whatever is said to a request that has not been made ends it.
        Ok(_) => Err(io::ErrorKind::ConnectionAborted.into()),
        Err(error) => Err(error),
    }
}
