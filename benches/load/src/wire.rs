//! HTTP/1.1 with as few system calls as there can be: one write a request, one read an answer.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How long an answer, or its next piece, may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that is kept, and opened again where the other side closed it.
pub struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// How an answer's body ends.
enum Body {
    Length(usize),
    Chunked(Chunks),
    Close,
}

impl Connection {
    /// One that opens with its first request.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
            buffer: Vec::with_capacity(16 << 10),
        }
    }

    /// Opens it now.
    pub fn open(&mut self) -> io::Result<()> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        self.stream = Some(stream);
        self.buffer.clear();
        Ok(())
    }

    /// Sends a request and hands out its answer's body piece by piece. Answers the status.
    pub fn ask(&mut self, request: &[u8], piece: &mut dyn FnMut(&[u8])) -> io::Result<u16> {
        let kept = self.stream.is_some();
        if !kept {
            self.open()?;
        }
        let mut asked = self.try_ask(request, piece);
        // The other side may close a connection that rests, while we write.
        if kept && matches!(asked, Err(Failure::BeforeAnswer(_))) {
            self.open()?;
            asked = self.try_ask(request, piece);
        }
        asked.map_err(|failure| {
            self.stream = None;
            match failure {
                Failure::BeforeAnswer(error) | Failure::Within(error) => error,
            }
        })
    }

    fn try_ask(&mut self, request: &[u8], piece: &mut dyn FnMut(&[u8])) -> Result<u16, Failure> {
        let stream = self.stream.as_mut().unwrap();
        let sent = stream.write_all(request);
        sent.map_err(Failure::BeforeAnswer)?;
        fill(stream, &mut self.buffer).map_err(Failure::BeforeAnswer)?;
        let within = |error| Failure::Within(error);
        let length = loop {
            if let Some(length) = head_length(&self.buffer) {
                break length;
            }
            fill(stream, &mut self.buffer).map_err(within)?;
        };
        let head: Vec<u8> = self.buffer.drain(..length).collect();
        let (status, body, closes) = understand(&head).map_err(within)?;
        read_body(stream, &mut self.buffer, body, piece).map_err(within)?;
        if closes {
            self.stream = None;
        }
        Ok(status)
    }
}

enum Failure {
    BeforeAnswer(io::Error),
    Within(io::Error),
}

/// The status of a head, how its body ends, and whether the connection ends with it.
fn understand(head: &[u8]) -> io::Result<(u16, Body, bool)> {
    let status = head.get(9..12).and_then(|code| str::from_utf8(code).ok());
    let status = status.and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| broken("this is no HTTP/1.1 answer"))?;
    let closes = header(head, "connection").is_some_and(|value| value == "close");
    let chunked = header(head, "transfer-encoding").is_some_and(|value| value.contains("chunked"));
    let body = match length_of_body(head) {
        _ if chunked => Body::Chunked(Chunks::Size),
        Some(length) => Body::Length(length),
        None => Body::Close,
    };
    Ok((status, body, closes))
}

fn read_body(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    mut body: Body,
    piece: &mut dyn FnMut(&[u8]),
) -> io::Result<()> {
    loop {
        let (used, ended) = match &mut body {
            Body::Length(left) => {
                let here = (*left).min(buffer.len());
                piece(&buffer[..here]);
                *left -= here;
                (here, *left == 0)
            }
            Body::Chunked(chunks) => chunks.read(buffer, piece)?,
            Body::Close => {
                piece(buffer);
                (buffer.len(), false)
            }
        };
        buffer.drain(..used);
        if ended {
            return Ok(());
        }
        match fill(stream, buffer) {
            Err(error)
                if matches!(body, Body::Close) && error.kind() == io::ErrorKind::UnexpectedEof =>
            {
                return Ok(());
            }
            filled => filled?,
        }
    }
}

/// Where a reader is in a chunked body.
enum Chunks {
    /// In the line with the next size.
    Size,
    /// In the data of a chunk and the line end after it, of which so much is left.
    Data(usize),
    /// After the last chunk.
    End,
}

impl Chunks {
    /// Hands out the data in `bytes`; answers how many were used, and whether that was all.
    fn read(&mut self, bytes: &[u8], piece: &mut dyn FnMut(&[u8])) -> io::Result<(usize, bool)> {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            match self {
                Self::Size => {
                    let Some(line) = find(rest, b"\r\n") else {
                        return Ok((used, false));
                    };
                    let text = str::from_utf8(&rest[..line]).unwrap_or_default();
                    let digits = text.split(';').next().unwrap_or_default().trim();
                    let size = usize::from_str_radix(digits, 16);
                    let size = size.map_err(|_| broken("this is no size of a chunk"))?;
                    used += line + 2;
                    *self = match size {
                        0 => Self::End,
                        size => Self::Data(size + 2),
                    };
                }
                Self::Data(left) => {
                    let here = (*left).min(rest.len());
                    // The line end is no data.
                    let data = here.min(left.saturating_sub(2));
                    piece(&rest[..data]);
                    used += here;
                    *left -= here;
                    if *left == 0 {
                        *self = Self::Size;
                    }
                }
                Self::End => {
                    // Nobody here sends trailers.
                    let ended = rest.len() >= 2;
                    return Ok((if ended { used + 2 } else { used }, ended));
                }
            }
        }
        Ok((used, false))
    }
}

fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 8 << 10];
    match stream.read(&mut piece)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => {
            buffer.extend_from_slice(&piece[..count]);
            Ok(())
        }
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Where `text` begins in `bytes`.
pub fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

/// The length of the head at the beginning of `bytes`, once all of it is there.
pub fn head_length(bytes: &[u8]) -> Option<usize> {
    find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// What `Content-Length` says.
pub fn length_of_body(head: &[u8]) -> Option<usize> {
    header(head, "content-length")?.parse().ok()
}

fn header(head: &[u8], name: &str) -> Option<String> {
    let text = str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n").filter_map(|line| line.split_once(':'));
    let found = lines.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim().to_ascii_lowercase())
}
