//! The fast upstream: a process of its own that answers chat completions with what it has prepared,
//! whole or in chunks. A thread a connection, since nothing is faster on one core.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::wire::{find, head_length, length_of_body};

/// Chunks in a stream.
pub const CHUNKS: usize = 64;

/// The model that waits before each chunk.
pub const PACED: &str = "paced";

/// The model that does not.
pub const FAST: &str = "fast";

/// What the model `paced` waits before each chunk.
pub const PACE: Duration = Duration::from_millis(80);

/// What comes before the time at which a chunk was sent, in nanoseconds.
pub const MARK: &[u8] = br#""content":"@"#;

const WHOLE: &str = r#"{"id":"chatcmpl-load","object":"chat.completion","created":1700000000,"model":"fast","choices":[{"index":0,"message":{"role":"assistant","content":"Yes, I am here and I have been waiting for you all the time."},"finish_reason":"stop"}],"usage":{"prompt_tokens":24,"completion_tokens":16,"total_tokens":40}}"#;

/// Serves until the process is killed; prints its address first.
pub fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("listening on {}", listener.local_addr().unwrap());
    for connection in listener.incoming().filter_map(Result::ok) {
        let small = thread::Builder::new().stack_size(128 << 10);
        // A connection that ends badly is the other side's business.
        drop(small.spawn(move || drop(answer_all(connection))));
    }
}

fn answer_all(mut connection: TcpStream) -> io::Result<()> {
    connection.set_nodelay(true)?;
    crate::machine::sharpen_timer();
    let mut buffer = Vec::with_capacity(16 << 10);
    while let Some(request) = read_request(&mut connection, &mut buffer)? {
        let has = |text: &[u8]| find(&request, text).is_some();
        if has(br#""stream":true"#) || has(br#""stream": true"#) {
            let pace = if has(br#""paced""#) {
                PACE
            } else {
                Duration::ZERO
            };
            stream(&mut connection, pace, has(b"include_usage"))?;
        } else {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ";
            let answer = format!("{head}{}\r\n\r\n{WHOLE}", WHOLE.len());
            connection.write_all(answer.as_bytes())?;
        }
    }
    Ok(())
}

/// One request with its body; nothing where the connection has ended.
fn read_request(connection: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let mut piece = [0; 16 << 10];
    loop {
        if let Some(head) = head_length(buffer) {
            let whole = head + length_of_body(&buffer[..head]).unwrap_or(0);
            if buffer.len() >= whole {
                return Ok(Some(buffer.drain(..whole).collect()));
            }
        }
        match connection.read(&mut piece)? {
            0 => return Ok(None),
            count => buffer.extend_from_slice(&piece[..count]),
        }
    }
}

/// A stream of chunks, each in a write of its own that says when it was sent.
fn stream(connection: &mut TcpStream, pace: Duration, usage: bool) -> io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked";
    connection.write_all(format!("{head}\r\n\r\n").as_bytes())?;
    for _ in 0..CHUNKS {
        if !pace.is_zero() {
            thread::sleep(pace);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let delta = format!(r#"{{"role":"assistant","content":"@{} "}}"#, now.as_nanos());
        send(connection, &chunk(&delta, "null", "null"))?;
    }
    send(connection, &chunk("{}", r#""stop""#, "null"))?;
    if usage {
        let usage = r#"{"prompt_tokens":24,"completion_tokens":64,"total_tokens":88}"#;
        let last = r#"{"id":"chatcmpl-load","object":"chat.completion.chunk","created":1700000000,"model":"fast","choices":[],"usage":"#;
        send(connection, &format!("{last}{usage}}}"))?;
    }
    send(connection, "[DONE]")?;
    connection.write_all(b"0\r\n\r\n")
}

fn chunk(delta: &str, finish: &str, usage: &str) -> String {
    format!(
        r#"{{"id":"chatcmpl-load","object":"chat.completion.chunk","created":1700000000,"model":"fast","choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}],"usage":{usage}}}"#
    )
}

fn send(connection: &mut TcpStream, event: &str) -> io::Result<()> {
    let length = "data: \n\n".len() + event.len();
    connection.write_all(format!("{length:x}\r\ndata: {event}\n\n\r\n").as_bytes())
}
