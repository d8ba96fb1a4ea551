//! Thousands of WebSockets to which nothing is said but pings.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use crate::{target::Target, wire::head_length};

/// Threads that open sockets.
const OPENERS: usize = 8;

/// A socket, with what has been read of its next frame.
struct Socket {
    stream: TcpStream,
    rest: Vec<u8>,
}

/// Open sockets; they close when dropped.
pub struct Sockets(Vec<Socket>);

impl Sockets {
    /// Opens `count` of them. Those that cannot be opened are missing.
    pub fn open(target: &Target, count: usize) -> Self {
        let head = target.head(
            "GET",
            "/ws/logs?level=error&plugin=llmserver",
            "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: bG9hZCBsb2FkIGxvYWQgIQ==\r\n\r\n",
        );
        let open = || {
            let sockets = (0..count / OPENERS).map(|_| Socket::open(target, head.as_bytes()));
            sockets.filter_map(told).collect::<Vec<_>>()
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..OPENERS).map(|_| scope.spawn(open)).collect();
            let sockets = threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap());
            Self(sockets.collect())
        })
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Answers pings for so long, and leaves out what the other side closes.
    pub fn idle(&mut self, time: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.0.retain_mut(|socket| socket.answer_pings().is_ok());
            thread::sleep(Duration::from_millis(500));
        }
    }
}

fn told(opened: io::Result<Socket>) -> Option<Socket> {
    opened
        .inspect_err(|error| eprintln!("load: a socket: {error}"))
        .ok()
}

impl Socket {
    fn open(target: &Target, head: &[u8]) -> io::Result<Self> {
        let patience = Duration::from_secs(30);
        let mut stream = TcpStream::connect_timeout(&target.address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(head)?;
        let mut rest = Vec::new();
        let length = loop {
            if let Some(length) = head_length(&rest) {
                break length;
            }
            read(&mut stream, &mut rest)?;
        };
        if !rest.starts_with(b"HTTP/1.1 101") {
            let text = String::from_utf8_lossy(&rest).into_owned();
            return Err(io::Error::other(text));
        }
        rest.drain(..length);
        stream.set_nonblocking(true)?;
        Ok(Self { stream, rest })
    }

    fn answer_pings(&mut self) -> io::Result<()> {
        loop {
            match read(&mut self.stream, &mut self.rest) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                read => read?,
            }
        }
        while let Some((kind, length)) = frame(&self.rest) {
            self.rest.drain(..length);
            match kind {
                0x9 => self.stream.write_all(&[0x8a, 0x80, 0, 0, 0, 0])?,
                0x8 => return Err(io::ErrorKind::ConnectionAborted.into()),
                _ => (),
            }
        }
        Ok(())
    }
}

/// The kind and length of the frame at the beginning of `bytes`, once all of it is there. Servers
/// mask nothing, and these send nothing that is long.
fn frame(bytes: &[u8]) -> Option<(u8, usize)> {
    let (kind, short) = (bytes.first()? & 0xf, usize::from(bytes.get(1)? & 0x7f));
    let length = match short {
        126 => 4 + usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
        short => 2 + short,
    };
    (bytes.len() >= length).then_some((kind, length))
}

fn read(stream: &mut TcpStream, into: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 4096];
    match stream.read(&mut piece)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => {
            into.extend_from_slice(&piece[..count]);
            Ok(())
        }
    }
}
