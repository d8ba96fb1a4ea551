//! Log lines to 0, 1, 100 and 1,000 WebSocket clients of the running program: delivered lines a
//! second, and what a delivered line costs the gateway in processor time beyond what writing it does.
//! Prints a table; with `--quick` from a tenth of the lines. The clients share the machine.
#![allow(
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a bench that is surprised should fail"
)]

#[path = "../tests/it/gateway.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod gateway;
#[path = "../tests/it/socket.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod socket;

use std::time::{Duration, Instant};

use futures_util::{StreamExt, future::join_all, stream};
use reqwest::Method;

use crate::{gateway::Gateway, socket::Socket};

/// Has the gateway write a line of its own for each of these requests.
async fn write(gateway: &Gateway, lines: u32, path: &str) {
    let requests = stream::iter(0..lines).map(|_| gateway.anonymous(Method::GET, path).send());
    let answers = requests.buffer_unordered(32);
    answers
        .for_each(async |answer| drop(answer.unwrap().bytes().await))
        .await;
}

/// Counts records until the last line has come; lines lost to the reader fail the bench.
async fn read(mut socket: Socket) -> usize {
    let mut count = 0;
    loop {
        let frame = socket.text().await.expect("the socket stays open");
        assert!(!frame.contains(r#""type":"gap""#), "{frame}");
        count += frame.matches(r#"{"seq":"#).count();
        if frame.contains("/the-end") {
            return count;
        }
    }
}

/// Processor time of a process, user and system.
fn processor(pid: u32) -> Duration {
    /// Clock ticks a second, on every Linux that this runs on (`getconf CLK_TCK`).
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit(") ").next().unwrap().split(' ');
    let ticks = fields
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u32>().unwrap());
    TICK * ticks.sum::<u32>()
}

/// Writes `lines` lines for `clients` readers; answers how many were delivered, in what time, and
/// what that cost the gateway.
async fn fan_out(clients: usize, lines: u32) -> (usize, Duration, Duration) {
    let gateway = Gateway::start().await;
    let mut sockets = Vec::new();
    for _ in 0..clients {
        let opened = Socket::open(&gateway, "/ws/logs?plugin=bkg", Some(&gateway.key)).await;
        sockets.push(opened.unwrap());
    }
    let readers: Vec<_> = sockets
        .into_iter()
        .map(|socket| tokio::spawn(read(socket)))
        .collect();
    // What the clients' own connections had logged is not measured.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (started, spent) = (Instant::now(), processor(gateway.pid()));
    write(&gateway, lines, "/line").await;
    write(&gateway, 1, "/the-end").await;
    let delivered = join_all(readers)
        .await
        .into_iter()
        .map(Result::unwrap)
        .sum();
    let (elapsed, spent) = (started.elapsed(), processor(gateway.pid()) - spent);
    (delivered, elapsed, spent)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let lines = if std::env::args().any(|argument| argument == "--quick") {
        500
    } else {
        5000
    };
    println!("| clients | lines delivered | delivered/s | us of processor a line |");
    println!("|--------:|----------------:|------------:|-----------------------:|");
    let (_, _, writing) = fan_out(0, lines).await;
    for clients in [1, 100, 1000] {
        let (delivered, elapsed, spent) = fan_out(clients, lines).await;
        let count = f64::from(u32::try_from(delivered).unwrap());
        let rate = count / elapsed.as_secs_f64();
        let cost = spent.saturating_sub(writing).as_secs_f64() * 1e6 / count;
        println!("| {clients:>7} | {delivered:>15} | {rate:>11.0} | {cost:>22.2} |");
    }
    let alone = writing.as_secs_f64() * 1e6 / f64::from(lines);
    println!("\nWriting a line, with the request that causes it: {alone:.1} us of processor.");
}
