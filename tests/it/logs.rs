//! The live log: who may read it, what it tells, and that no line is told twice or kept quiet.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    gateway::{Gateway, PASSWORD, answer, bkg, eventually},
    socket::Socket,
};

/// Bytes of a long line; what is longer than 8 KiB is cut.
const LINE: usize = 6000;
/// So many of them that most do not fit between a gateway and a stalled reader, and so few that
/// they are written before the gateway gives that reader up.
const LINES: usize = 2500;

/// Has the gateway write a line of its own that holds `text`.
async fn say(gateway: &Gateway, text: &str) {
    let request = gateway.anonymous(Method::GET, &format!("/said/{text}"));
    assert_eq!(request.send().await.unwrap().status(), 404);
}

fn records(frame: &Value) -> &[Value] {
    frame["records"].as_array().map_or(&[], Vec::as_slice)
}

fn tells(text: &str) -> impl Fn(&Value) -> bool {
    let text = format!("/said/{text} ");
    move |frame| {
        let mut messages = records(frame).iter().map(|record| &record["message"]);
        messages.any(|message| message.as_str().unwrap().contains(&text))
    }
}

/// The numbers that frames tell of, each record once and each gap as a range.
fn numbers(frames: &[Value]) -> Vec<u64> {
    let number = |value: &Value| value.as_u64().unwrap();
    let all = frames.iter().flat_map(|frame| {
        let recorded = records(frame).iter().map(|record| number(&record["seq"]));
        let lost = (frame["type"] == "gap").then(|| {
            let (from, to) = (number(&frame["from"]), number(&frame["to"]));
            assert_eq!(number(&frame["count"]), to + 1 - from, "{frame}");
            from..=to
        });
        recorded
            .chain(lost.into_iter().flatten())
            .collect::<Vec<_>>()
    });
    all.collect()
}

async fn open(gateway: &Gateway, query: &str) -> (Value, Socket) {
    let path = format!("/ws/logs?{query}");
    let mut socket = Socket::open(gateway, &path, Some(&gateway.key))
        .await
        .unwrap();
    let hello = socket.next().await.unwrap();
    assert_eq!(hello["type"], "hello");
    (hello, socket)
}

/// Everything that is kept and passes the filter.
async fn past(gateway: &Gateway, query: &str) -> Vec<Value> {
    let (_, mut socket) = open(gateway, &format!("follow=false&{query}")).await;
    let frames = socket.rest().await;
    frames.iter().flat_map(records).cloned().collect()
}

#[tokio::test]
async fn a_reader_is_greeted_and_then_told_every_line() {
    let gateway = Gateway::start().await;
    let (hello, mut socket) = open(&gateway, "").await;
    say(&gateway, "news").await;
    let frames = socket.until(tells("news")).await;
    assert!(
        hello["epoch"].is_string() && hello["next"].is_u64(),
        "{hello}"
    );
    let oldest = hello["oldest"].as_u64().unwrap();
    let told = numbers(&frames);
    let expected: Vec<u64> = (oldest..).take(told.len()).collect();
    assert_eq!(told, expected);
    let said = frames.iter().flat_map(records).find(|record| {
        record["message"]
            .as_str()
            .unwrap()
            .starts_with("GET /said/news 404")
    });
    let record = said.unwrap();
    assert_eq!(record["plugin"], "bkg", "{record}");
    assert_eq!(record["level"], "info", "{record}");
    assert_eq!(record["stream"], "log", "{record}");
    assert_eq!(record["fields"]["status"], "404", "{record}");
    assert!(record["ts"].as_str().unwrap().ends_with('Z'), "{record}");
}

#[tokio::test]
async fn lines_carry_their_plugin_and_readers_choose_by_it_and_by_level() {
    let models = tempfile::tempdir().unwrap();
    let models = models.path().to_str().unwrap();
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", models)]).await;
    let warnings = past(&gateway, "plugin=llmserver&level=warn").await;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0]["plugin"], "llmserver");
    assert!(
        warnings[0]["message"]
            .as_str()
            .unwrap()
            .contains("bkg models pull")
    );
    let own = past(&gateway, "plugin=bkg").await;
    assert!(
        !own.is_empty() && own.iter().all(|record| record["plugin"] == "bkg"),
        "{own:?}"
    );
    assert!(
        past(&gateway, "plugin=llmserver&level=error")
            .await
            .is_empty()
    );
    let bad = past(&gateway, "level=warn").await;
    let is_bad = |record: &Value| record["level"] == "warn" || record["level"] == "error";
    assert!(!bad.is_empty() && bad.iter().all(is_bad), "{bad:?}");
}

#[tokio::test]
async fn a_reader_that_comes_back_misses_nothing_and_hears_nothing_twice() {
    let gateway = Gateway::start().await;
    let (hello, mut socket) = open(&gateway, "").await;
    say(&gateway, "before").await;
    let before = numbers(&socket.until(tells("before")).await);
    drop(socket);
    say(&gateway, "meanwhile").await;
    let (epoch, after) = (hello["epoch"].as_str().unwrap(), before.last().unwrap());
    let (again, mut socket) = open(&gateway, &format!("epoch={epoch}&after={after}")).await;
    assert_eq!(again["epoch"], epoch);
    say(&gateway, "later").await;
    let frames = socket.until(tells("later")).await;
    assert!(frames.iter().any(tells("meanwhile")));
    let expected: Vec<u64> = (after + 1..).take(numbers(&frames).len()).collect();
    assert_eq!(numbers(&frames), expected);
}

#[tokio::test]
async fn a_reader_from_before_a_restart_hears_the_new_log_from_its_beginning() {
    let mut gateway = Gateway::start().await;
    let (before, _) = open(&gateway, "").await;
    gateway.kill();
    gateway.restart();
    let epoch = before["epoch"].as_str().unwrap();
    let (hello, mut socket) = open(&gateway, &format!("epoch={epoch}&after=3")).await;
    assert_ne!(hello["epoch"], before["epoch"]);
    say(&gateway, "new").await;
    let told = numbers(&socket.until(tells("new")).await);
    assert_eq!(told.first(), Some(&1), "{hello}");
}

/// Memory that the process holds, in KiB.
fn resident(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

/// Has the gateway write `lines` long lines, by requests that are cheap to send.
async fn flood(gateway: &Gateway, lines: usize) {
    let path = "x".repeat(LINE);
    let request = format!("GET /{path} HTTP/1.1\r\nhost: bkg\r\nconnection: close\r\n\r\n");
    let host = gateway.url.strip_prefix("http://").unwrap();
    let one = || async {
        let mut stream = TcpStream::connect(host).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    };
    let requests = stream::iter(0..lines).map(|_| one());
    requests.buffer_unordered(16).count().await;
}

#[tokio::test]
async fn a_stalled_reader_is_told_of_every_line_and_costs_no_memory() {
    // A model would be at work, and take memory, meanwhile.
    let environment = [("BKG_LOG__KEEP", "64"), ("BKG_MODELS_DIR", "no-models")];
    let gateway = Gateway::start_with(&environment).await;
    flood(&gateway, 200).await;
    let mut stalled = Socket::open_narrow(&gateway, "/ws/logs").await;
    let hello = stalled.next().await.unwrap();
    let before = resident(&gateway);
    // Within the time after which the gateway gives up a peer that takes nothing.
    flood(&gateway, LINES).await;
    let grown = resident(&gateway).saturating_sub(before) * 1024;
    let logged = (LINES * LINE) as u64;
    assert!(
        grown < logged / 3 * 2,
        "{logged} bytes were logged, memory grew by {grown}"
    );
    say(&gateway, "the-end").await;
    let frames = stalled.until(tells("the-end")).await;
    let told = numbers(&frames);
    let first = told[0];
    assert!(first >= hello["oldest"].as_u64().unwrap(), "{hello}");
    assert!(told.len() > LINES, "{}", told.len());
    let each_once: Vec<u64> = (first..).take(told.len()).collect();
    assert!(told == each_once, "every number once and in order");
    let lost: u64 = frames
        .iter()
        .filter_map(|frame| frame["count"].as_u64())
        .sum();
    assert!(lost > 500, "it was stalled, so most was lost to it: {lost}");
}

#[tokio::test]
async fn the_log_is_for_those_who_may_operate_the_gateway() {
    let gateway = Gateway::start().await;
    let reader = gateway.new_key("llm.chat,brainml.query");
    let operator = gateway.new_key("admin");
    for path in ["/ws/logs", "/ws/plugins"] {
        assert_eq!(Socket::open(&gateway, path, None).await.err(), Some(401));
        assert_eq!(
            Socket::open(&gateway, path, Some(&reader)).await.err(),
            Some(403)
        );
        assert!(Socket::open(&gateway, path, Some(&operator)).await.is_ok());
    }
    let history = "/admin/plugins/bkg/logs";
    let request = gateway.anonymous(Method::GET, history).bearer_auth(&reader);
    assert_eq!(answer(request).await.0, 403);
}

#[tokio::test]
async fn the_last_lines_of_one_plugin_can_be_read_as_json() {
    let gateway = Gateway::start().await;
    say(&gateway, "one").await;
    say(&gateway, "two").await;
    let path = "/admin/plugins/bkg/logs?level=info";
    eventually("the line is there", || async {
        tells("two")(&gateway.get(path).await.1)
    })
    .await;
    let (_, all) = gateway.get(path).await;
    let (status, last) = gateway.get(&format!("{path}&limit=2")).await;
    assert_eq!(status, 200, "{last}");
    assert_eq!(records(&last).len(), 2, "{last}");
    let seqs = |history: &Value| {
        records(history)
            .iter()
            .map(|r| r["seq"].as_u64())
            .collect::<Vec<_>>()
    };
    assert!(
        seqs(&last).is_sorted() && seqs(&all).is_sorted(),
        "oldest first"
    );
    assert!(last["epoch"].is_string(), "{last}");
    assert_eq!(gateway.get("/admin/plugins/nobody/logs").await.0, 404);
}

#[tokio::test]
async fn plugin_states_come_first_and_then_their_changes() {
    let gateway = Gateway::start().await;
    let opened = Socket::open(&gateway, "/ws/plugins", Some(&gateway.key)).await;
    let mut socket = opened.unwrap();
    let first = socket.next().await.unwrap();
    assert_eq!(first["type"], "plugins");
    let names = first["plugins"]
        .as_array()
        .unwrap()
        .iter()
        .map(|plugin| &plugin["name"]);
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["apikeys", "llmserver", "brainml"]
    );
    for (what, state) in [("stop", "stopped"), ("start", "running")] {
        let path = format!("/admin/plugins/brainml/{what}");
        assert_eq!(gateway.post(&path, &json!({})).await.0, 200);
        let is = |plugin: &Value| plugin["name"] == "brainml" && plugin["state"] == state;
        let reached = |frame: &Value| frame["plugins"].as_array().unwrap().iter().any(is);
        let frames = socket.until(reached).await;
        assert!(
            frames.iter().all(|frame| frame["type"] == "changed"),
            "{frames:?}"
        );
    }
}

#[tokio::test]
async fn the_command_line_shows_the_log_so_far() {
    let gateway = Gateway::start().await;
    say(&gateway, "hello").await;
    let printed = || {
        let output = gateway.bkg(&["logs", "--plugin", "bkg", "--level", "info"]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    eventually("the line is shown", || async {
        printed().contains("GET /said/hello 404")
    })
    .await;
    assert!(
        printed().lines().all(|line| line.contains(" bkg ")),
        "{}",
        printed()
    );
    assert!(printed().contains(" INFO "), "{}", printed());
}

#[tokio::test]
async fn the_command_line_follows_one_plugin() {
    let gateway = Gateway::start().await;
    let follow = ["logs", "-f", "--plugin", "llmserver"];
    let mut child = bkg(gateway.data.path(), &[], &follow)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let restarted = gateway
        .post("/admin/plugins/llmserver/restart", &json!({}))
        .await;
    assert_eq!(restarted.0, 200);
    let second = tokio::task::spawn_blocking(move || lines.next().unwrap().unwrap());
    for line in [first, second.await.unwrap()] {
        assert!(line.contains(" llmserver "), "{line}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn no_secret_is_ever_logged() {
    let gateway = Gateway::start_with(&[("BKG_LOG__FILTER", "debug")]).await;
    let wrong = json!({"username": "admin", "password": "canary-wrong-password"});
    let right = json!({"username": "admin", "password": PASSWORD});
    let log_in = |body: &Value| {
        gateway
            .anonymous(Method::POST, "/auth/login")
            .json(body)
            .send()
    };
    assert_eq!(log_in(&wrong).await.unwrap().status(), 401);
    let session = log_in(&right).await.unwrap();
    assert_eq!(session.status(), 200);
    let cookie = session.headers()["set-cookie"].to_str().unwrap().to_owned();
    let cookie = cookie.split(['=', ';']).nth(1).unwrap();
    let body = json!({"name": "made", "scopes": ["llm.chat"]});
    let (_, made) = gateway.post("/admin/keys", &body).await;
    let made = made["key"].as_str().unwrap();
    gateway
        .get(&format!("/v1/models?api_key={}", gateway.key))
        .await;
    let broken = gateway
        .anonymous(Method::GET, "/v1/models")
        .bearer_auth("bkg_canaryinaheader");
    assert_eq!(answer(broken).await.0, 401);
    let upstream = json!({"settings": {"upstreams": [{
        "name": "up", "base_url": "http://127.0.0.1:9/v1", "models": ["m"],
        "api_key": "canary-upstream-key",
    }]}});
    let (status, set) = gateway
        .put("/admin/plugins/llmserver/config", &upstream)
        .await;
    assert_eq!(status, 200, "{set}");
    let chat = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    gateway.post("/v1/chat/completions", &chat).await;
    say(&gateway, "the-end").await;
    let (_, mut socket) = open(&gateway, "").await;
    let frames = socket.until(tells("the-end")).await;
    assert!(
        frames
            .iter()
            .any(|frame| frame.to_string().contains("POST /auth/login 401"))
    );
    let log: String = frames.iter().map(Value::to_string).collect();
    let secrets = [&gateway.key, PASSWORD, made, cookie, "canary"];
    for secret in secrets {
        assert!(
            secret.len() > 5 && !log.contains(secret),
            "{secret} was logged"
        );
    }
}
