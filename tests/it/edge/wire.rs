//! One exchange of bytes with the gateway, for what no client library would send.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::gateway::{Gateway, PATIENCE};

/// Sends `bytes` and reads what comes back, up to the end of an answer or of the connection.
pub async fn exchange(gateway: &Gateway, bytes: impl AsRef<[u8]>) -> String {
    let host = gateway.url.split_once("://").unwrap().1;
    let mut stream = TcpStream::connect(host).await.unwrap();
    // A gateway that has answered already may take no more.
    drop(stream.write_all(bytes.as_ref()).await);
    let mut told = Vec::new();
    let read =
        async { while !is_whole(&told) && stream.read_buf(&mut told).await.unwrap_or(0) > 0 {} };
    timeout(PATIENCE, read).await.expect("an answer in time");
    String::from_utf8_lossy(&told).into_owned()
}

/// Whether an answer is as long as it says that it is.
fn is_whole(told: &[u8]) -> bool {
    let text = String::from_utf8_lossy(told).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| body.len() >= length.parse::<usize>().unwrap())
}
