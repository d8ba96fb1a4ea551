//! What clients do to WebSockets: too much at once, nothing at all.

use std::time::Duration;

use reqwest::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::gateway::{Gateway, PATIENCE, answer, eventually};

const TEXT: u8 = 1;
const CONTINUATION: u8 = 0;
const LAST: u8 = 0x80;

async fn start(env: &[(&str, &str)]) -> Gateway {
    Gateway::start_with(&[&[("BKG_MODELS_DIR", "no-models")], env].concat()).await
}

/// A WebSocket without a client's manners: it answers nothing by itself.
async fn open(gateway: &Gateway, path: &str) -> TcpStream {
    let host = gateway.url.strip_prefix("http://").unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(host.parse().unwrap()).await.unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\nupgrade: websocket\r\n\
         connection: upgrade\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        gateway.key
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// A frame as a client sends it, with a mask of zeros.
fn frame(first: u8, length: usize) -> Vec<u8> {
    let mut frame = vec![first];
    match u16::try_from(length) {
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend(u64::try_from(length).unwrap().to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.resize(frame.len() + length, b'x');
    frame
}

/// The code with which the gateway closes the socket.
async fn close_code(stream: &mut TcpStream) -> Option<u16> {
    let mut told = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut told)).await;
    drop(read.expect("the gateway closes the socket"));
    let start = told
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .unwrap()
        + 4;
    let mut rest = &told[start..];
    while let [first, length, tail @ ..] = rest {
        let (length, tail) = match length {
            126 => (
                usize::from(u16::from_be_bytes([tail[0], tail[1]])),
                &tail[2..],
            ),
            127 => (
                u64::from_be_bytes(tail[..8].try_into().unwrap())
                    .try_into()
                    .unwrap(),
                &tail[8..],
            ),
            short => (usize::from(*short), tail),
        };
        if first & 0x0f == 8 {
            return Some(u16::from_be_bytes([tail[0], tail[1]]));
        }
        rest = tail.get(length..)?;
    }
    None
}

#[tokio::test]
async fn a_frame_or_a_message_that_is_too_large_closes_the_socket() {
    let gateway = start(&[]).await;
    let mut whole = open(&gateway, "/ws/plugins").await;
    // The gateway may be gone before all is written.
    drop(whole.write_all(&frame(LAST | TEXT, 64 * 1024 + 1)).await);
    assert_eq!(close_code(&mut whole).await, Some(1009));

    let mut pieces = open(&gateway, "/ws/plugins").await;
    let mut first = TEXT;
    for _ in 0..17 {
        if pieces.write_all(&frame(first, 64 * 1024)).await.is_err() {
            break;
        }
        first = CONTINUATION;
    }
    assert_eq!(close_code(&mut pieces).await, Some(1009));
    assert_eq!(gateway.get("/health").await.0, 200);
}

#[tokio::test]
async fn messages_within_the_limits_are_borne() {
    let gateway = start(&[]).await;
    let mut stream = open(&gateway, "/ws/plugins").await;
    for _ in 0..3 {
        stream.write_all(&frame(TEXT, 64 * 1024)).await.unwrap();
        for _ in 0..14 {
            stream
                .write_all(&frame(CONTINUATION, 64 * 1024))
                .await
                .unwrap();
        }
        stream
            .write_all(&frame(LAST | CONTINUATION, 1024))
            .await
            .unwrap();
    }
    stream
        .write_all(&[LAST | 8, 0x82, 0, 0, 0, 0, 0x03, 0xe8])
        .await
        .unwrap();
    assert_eq!(close_code(&mut stream).await, Some(1000));
}

#[tokio::test]
async fn what_is_no_websocket_frame_closes_the_socket() {
    let gateway = start(&[]).await;
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x81, 0x01, b'x'],
        &[0x83, 0x80, 0, 0, 0, 0],
    ] {
        let mut stream = open(&gateway, "/ws/plugins").await;
        stream.write_all(bytes).await.unwrap();
        assert_eq!(close_code(&mut stream).await, Some(1002), "{bytes:?}");
    }
}

async fn dropped(gateway: &Gateway) -> bool {
    let (_, told) = gateway.get("/admin/plugins/bkg/logs?level=warn").await;
    let records = told["records"].as_array().unwrap().iter();
    let mut messages = records.map(|record| record["message"].as_str().unwrap());
    messages.any(|message| message.starts_with("dropped a reader of /ws/"))
}

#[tokio::test]
async fn a_reader_that_answers_no_ping_is_dropped_and_counted() {
    let gateway = start(&[("BKG_SERVER__SOCKET_SILENCE_SECONDS", "1")]).await;
    let mut stream = open(&gateway, "/ws/plugins").await;
    assert_eq!(close_code(&mut stream).await, Some(1008));
    // Both are written beside the last frame, perhaps a moment later.
    eventually("the log tells of it", async || dropped(&gateway).await).await;
    eventually("it is counted", async || {
        let metrics = gateway.request(Method::GET, "/metrics").send();
        let page = metrics.await.unwrap().text().await.unwrap();
        page.contains("bkg_socket_readers_dropped_total 1\n")
    })
    .await;
    // One that answers stays.
    let mut stream = open(&gateway, "/ws/plugins").await;
    let pong = [LAST | 10, 0x80, 0, 0, 0, 0];
    for _ in 0..12 {
        stream.write_all(&pong).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    stream
        .write_all(&[LAST | 8, 0x82, 0, 0, 0, 0, 0x03, 0xe8])
        .await
        .unwrap();
    assert_eq!(close_code(&mut stream).await, Some(1000));
    assert_eq!(
        answer(gateway.anonymous(Method::GET, "/health/live"))
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_dropped_and_counted() {
    let silence = ("BKG_SERVER__SOCKET_SILENCE_SECONDS", "3600");
    let gateway = start(&[silence, ("BKG_SERVER__READER_SECONDS", "1")]).await;
    let _stalled = open(&gateway, "/ws/logs").await;
    let path = format!("/said/{}", "x".repeat(7000));
    let started = std::time::Instant::now();
    while !dropped(&gateway).await {
        // The buffers between the two take megabytes of lines first.
        assert!(started.elapsed() < 4 * PATIENCE, "it is never dropped");
        let say = || answer(gateway.anonymous(Method::GET, &path));
        futures_util::future::join_all((0..100).map(|_| say())).await;
    }
    assert_eq!(gateway.get("/health").await.0, 200);
}
