//! `docs/reference`: made by the program, and as it is now. `make docs` writes it anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    edge::tls,
    fake_upstream::{Reply, Upstream, chunk},
    gateway::{Gateway, bkg, eventually, workspace},
};

/// Compares with what is in the sources, or replaces it where `BKG_UPDATE_DOCS` is set.
fn hold(name: &str, made: &str) {
    let path = workspace().join("docs/reference").join(name);
    if std::env::var_os("BKG_UPDATE_DOCS").is_some() {
        std::fs::write(path, made).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let changed = made.lines().find(|line| !kept.contains(line));
    assert!(
        kept == made,
        "docs/reference/{name} is stale: run `make docs`; the first new line: {changed:?}"
    );
}

/// A cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn shown(default: &Value) -> String {
    match default {
        Value::Null => "unset".to_owned(),
        Value::Array(entries) if entries.is_empty() => "none".to_owned(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

#[test]
fn the_settings_reference_is_what_the_program_says() {
    let data = tempfile::tempdir().unwrap();
    let output = bkg(data.path(), &[], &["settings", "--json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut page = "# Settings\n\nMade from the program by `make docs`. Defaults < `bkg.toml` < \
        environment < flags (`--set KEY=VALUE`). `bkg settings` shows what is in force. In the \
        environment and in flags a list is words between commas.\n"
        .to_owned();
    let mut group = None;
    for one in told["settings"].as_array().unwrap() {
        let text = |name: &str| one[name].as_str().unwrap();
        let own = text("key").rsplit_once('.').map_or("", |(group, _)| group);
        if group != Some(own) {
            group = Some(own);
            let title = if own.is_empty() { "The gateway" } else { own };
            write!(page, "\n## {title}\n\n").unwrap();
            page += "| setting, and its name in the environment | value | default | meaning |\n";
            page += "|---|---|---|---|\n";
        }
        let (key, name) = (text("key"), text("environment"));
        let (kind, doc) = (cell(text("type")), cell(text("doc")));
        let default = shown(&one["default"]);
        writeln!(page, "| `{key}` `{name}` | {kind} | {default} | {doc} |").unwrap();
    }
    hold("settings.md", &page);
}

#[derive(Default)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
    has_series: bool,
}

/// The families of a page, by the names that one asks Prometheus for.
#[derive(Default)]
struct Families(BTreeMap<String, Family>);

impl Families {
    fn read(&mut self, text: &str) {
        for line in text.lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words[..] {
                ["#", "HELP", name, help] => self.of(name).help = help.to_owned(),
                ["#", "TYPE", name, kind] => self.of(name).kind = kind.to_owned(),
                ["#", ..] => (),
                _ => self.add_series(line),
            }
        }
    }

    fn of(&mut self, name: &str) -> &mut Family {
        self.0.entry(name.to_owned()).or_default()
    }

    fn add_series(&mut self, line: &str) {
        let (name, rest) = line.split_once(['{', ' ']).unwrap();
        let ends = ["_total", "_bucket", "_sum", "_count"];
        let family = ends.iter().find_map(|end| name.strip_suffix(end));
        let family = family.filter(|family| self.0.contains_key(*family));
        let family = self.of(family.unwrap_or(name));
        family.has_series = true;
        let labels = rest.rsplit_once("} ").map_or("", |(labels, _)| labels);
        let labels = labels.split("\",").filter_map(|one| one.split_once("=\""));
        let own = labels.map(|(label, _)| label.to_owned());
        family.labels.extend(own.filter(|label| label != "le"));
    }

    /// The families of which no series was told, so that their labels are not known.
    fn silent(&self) -> Vec<&String> {
        let silent = self.0.iter().filter(|(_, family)| !family.has_series);
        silent.map(|(name, _)| name).collect()
    }
}

/// Scrapes over the owner's socket, whatever is spoken over TCP.
async fn scrape(gateway: &Gateway, families: &mut Families) {
    let client = reqwest::Client::builder()
        .unix_socket(gateway.data.path().join("bkg.sock"))
        .no_proxy()
        .build();
    let answer = client.unwrap().get("http://localhost/metrics").send().await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 200);
    families.read(&answer.text().await.unwrap());
}

/// Has everything counted once that is counted for each of something.
async fn use_all_of_it(gateway: &Gateway) -> Upstream {
    let reply = |_: &Value| Reply::Stream {
        first: vec![chunk("one ", None), chunk("two ", None)],
        rest: vec![],
    };
    let upstream = Upstream::start(reply).await;
    upstream.join(gateway).await;
    let documents = json!([{"id": "a", "text": "Wings flutter in the wind."}]);
    gateway.index("papers", &documents).await;
    upstream.release();
    let messages = [json!({"role": "user", "content": "hello"})];
    let body = json!({"model": "far-chat", "stream": true, "messages": messages});
    let chat = gateway.request(Method::POST, "/v1/chat/completions");
    let answer = chat.json(&body).send().await.unwrap().text().await.unwrap();
    assert!(answer.contains("[DONE]"), "{answer}");
    upstream
}

#[tokio::test]
async fn the_metrics_list_is_what_a_scrape_tells() {
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it.pem");
    tls::Identity::new().put(&path);
    let encrypted = tls::start(&path).await;
    let _upstream = use_all_of_it(&gateway).await;
    let gateways = [&gateway, &encrypted];
    let read = || async {
        let mut families = Families::default();
        for gateway in gateways {
            scrape(gateway, &mut families).await;
        }
        families
    };
    // What is told of an answer is written beside it.
    eventually("every metric has a series", || async {
        let families = read().await;
        let silent = families.silent();
        if !silent.is_empty() {
            eprintln!("no series yet: {silent:?}");
        }
        silent.is_empty()
    })
    .await;
    let mut page = "# Metrics\n\nMade from a scrape of the program by `make docs`. \
        [The guide](../guide/metrics.md) says how to scrape, and what it costs.\n\n\
        | metric | kind | labels | meaning |\n|---|---|---|---|\n"
        .to_owned();
    for (name, family) in &read().await.0 {
        let end = if family.kind == "counter" {
            "_total"
        } else {
            ""
        };
        let labels: Vec<String> = family.labels.iter().map(|one| format!("`{one}`")).collect();
        let (labels, help) = (labels.join(", "), cell(&family.help));
        let kind = &family.kind;
        writeln!(page, "| `{name}{end}` | {kind} | {labels} | {help} |").unwrap();
    }
    hold("metrics.md", &page);
}
