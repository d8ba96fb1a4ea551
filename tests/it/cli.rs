//! The command line: what scripts rely on, and what it tells people.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Output, Stdio},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::gateway::{Gateway, bkg, eventually, has_model, models};

/// The lines of standard output, each of which must be JSON.
fn json_lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let lines = text.lines().map(serde_json::from_str::<Value>);
    lines
        .map(|line| line.unwrap_or_else(|error| panic!("{error} in {text}")))
        .collect()
}

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    dir
}

#[tokio::test]
async fn every_subcommand_speaks_json() {
    let gateway = Gateway::start().await;
    let papers = folder(&[("a.txt", b"Wings flutter.")]);
    let papers = papers.path().to_str().unwrap();
    let tell = |arguments: &[&str]| {
        let arguments = [arguments, &["--json"]].concat();
        let mut lines = json_lines(&gateway.bkg(&arguments));
        assert_eq!(lines.len(), 1, "{arguments:?}: {lines:?}");
        lines.remove(0)
    };
    let key = tell(&[
        "keys",
        "create",
        "--name",
        "k",
        "--scopes",
        "llm.chat,llm.embed",
    ]);
    assert_eq!(key["scopes"], json!(["llm.chat", "llm.embed"]), "{key}");
    assert!(key["key"].as_str().unwrap().starts_with("bkg_"), "{key}");
    assert!(tell(&["keys", "list"])["keys"].as_array().unwrap().len() > 1);
    assert_eq!(tell(&["plugins", "list"])["plugins"][0]["name"], "apikeys");
    assert_eq!(
        tell(&["plugins", "show", "brainml"])["baseline"],
        "built in"
    );
    assert_eq!(tell(&["plugins", "stop", "brainml"])["state"], "stopped");
    assert_eq!(tell(&["plugins", "start", "brainml"])["state"], "running");
    assert_eq!(tell(&["plugins", "restart", "brainml"])["state"], "running");
    let set = tell(&["plugins", "set", "brainml", "chunk_words=150"]);
    assert_eq!(
        set["settings"]["chunk_words"],
        json!({"value": 150, "source": "operator"})
    );
    assert_eq!(tell(&["models", "list"])["data"][0]["id"], "bkg-extract");
    let indexed = tell(&["index", papers, "--collection", "papers"]);
    assert_eq!(
        (&indexed["indexed"], &indexed["skipped"]),
        (&json!(1), &json!(0))
    );
    let found = tell(&["query", "flutter", "--collection", "papers"]);
    assert_eq!(found["results"][0]["document_id"], "a.txt", "{found}");
    let answer = tell(&["chat", "Do wings flutter?", "--collection", "papers"]);
    let cited = &answer["choices"][0]["message"]["annotations"][0]["file_citation"];
    assert_eq!(cited["document_id"], "a.txt", "{answer}");
    assert_eq!(tell(&["health"])["status"], "ok");
    let frames = json_lines(&gateway.bkg(&["logs", "--json"]));
    assert_eq!(frames[0]["type"], "hello");
    assert!(
        frames.iter().any(|frame| frame["type"] == "records"),
        "{frames:?}"
    );
}

#[tokio::test]
async fn a_pull_tells_its_progress_as_json() {
    if !has_model() {
        return;
    }
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().to_str().unwrap();
    let gateway = Gateway::start_with(&[("BKG_MODELS_DIR", path)]).await;
    let name = "all-MiniLM-L6-v2";
    let from = models().join(name);
    let from = from.to_str().unwrap();
    let pulled = json_lines(&gateway.bkg(&["models", "pull", name, "--from", from, "--json"]));
    assert!(
        pulled
            .iter()
            .any(|progress| progress["stage"] == "verify" || progress["stage"] == "load")
    );
    assert_eq!(pulled.last().unwrap()["stage"], "ready", "{pulled:?}");
}

#[tokio::test]
async fn health_says_by_its_exit_status_how_the_gateway_is() {
    let mut gateway = Gateway::start().await;
    assert_eq!(gateway.bkg(&["health"]).status.code(), Some(0));
    gateway.bkg(&["plugins", "stop", "apikeys"]);
    let ill = gateway.bkg(&["health"]);
    assert_eq!(ill.status.code(), Some(1), "{ill:?}");
    assert!(
        String::from_utf8_lossy(&ill.stderr).contains("apikeys"),
        "{ill:?}"
    );
    gateway.kill();
    let none = gateway.bkg(&["health"]);
    assert_eq!(none.status.code(), Some(1), "{none:?}");
    assert!(
        String::from_utf8_lossy(&none.stderr).contains("bkg serve"),
        "{none:?}"
    );
}

/// Runs a command whose reader reads one line, or nothing, and goes away.
fn with_a_reader_that_leaves(mut command: Command, lines: usize) -> std::process::Child {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    assert_eq!(out.lines().take(lines).filter(Result::is_ok).count(), lines);
    child
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let gateway = Gateway::start().await;
    let command = |arguments: &[&str]| bkg(gateway.data.path(), &[], arguments);
    for arguments in [
        ["plugins", "list"].as_slice(),
        &["logs"],
        &["keys", "list", "--json"],
    ] {
        let ended = with_a_reader_that_leaves(command(arguments), 0)
            .wait_with_output()
            .unwrap();
        assert!(ended.status.success(), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.is_empty(), "{arguments:?}: {ended:?}");
    }
    let mut follower = with_a_reader_that_leaves(command(&["logs", "-f"]), 1);
    let child = std::cell::RefCell::new(&mut follower);
    eventually("the follower ends", || async {
        let line = gateway
            .anonymous(Method::GET, "/one/more/line")
            .send()
            .await;
        drop(line.unwrap());
        child.borrow_mut().try_wait().unwrap().is_some()
    })
    .await;
    assert!(follower.wait().unwrap().success());
    let mut said = String::new();
    follower
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(said, "");
}

#[tokio::test]
async fn indexing_a_folder_tells_what_was_left_out() {
    let gateway = Gateway::start().await;
    let mixed = folder(&[
        ("notes/a.md", b"# Alpha\n\nThe first letter."),
        ("b.txt", b"The second letter."),
        (
            "c.jsonl",
            b"{\"id\":\"c1\",\"text\":\"third\"}\n{\"id\":\"c2\"}\n",
        ),
        ("latin1.txt", b"caf\xe9"),
        ("picture.png", b"\x89PNG"),
        ("main.rs", b"fn main() {}"),
        (".hidden/secret.txt", b"not meant to be found"),
    ]);
    let path = mixed.path().to_str().unwrap();
    let indexed = gateway.bkg(&["index", path, "--collection", "mixed"]);
    assert!(indexed.status.success(), "{indexed:?}");
    let said = String::from_utf8(indexed.stdout).unwrap();
    assert!(said.contains("3 documents are in mixed"), "{said}");
    assert!(said.contains("2 files of other kinds skipped"), "{said}");
    let warned = String::from_utf8(indexed.stderr).unwrap();
    for what in ["latin1.txt is not UTF-8 text", "c.jsonl, line 2", "`text`"] {
        assert!(warned.contains(what), "{what} in: {warned}");
    }
    let (_, alpha) = gateway
        .get("/brainml/collections/mixed/documents/notes/a.md")
        .await;
    assert_eq!(alpha["title"], "Alpha", "{alpha}");
    let again = gateway.bkg(&["index", path, "--collection", "mixed", "--json"]);
    assert_eq!(
        json_lines(&again)[0]["indexed"],
        3,
        "indexing again replaces"
    );
    let (_, stats) = gateway.get("/brainml/collections/mixed").await;
    assert_eq!(stats["documents"], 3, "{stats}");
}

#[tokio::test]
async fn nothing_to_index_and_wrong_arguments_are_named() {
    let gateway = Gateway::start().await;
    let useless = folder(&[("picture.png", b"\x89PNG")]);
    let path = useless.path().to_str().unwrap();
    for (arguments, code, what) in [
        (["index", path].as_slice(), 2, path),
        (&["index", "/no/such/place"], 2, "/no/such/place"),
        (&["plugins", "show", "nobody"], 1, "nobody"),
        (&["plugins", "set", "brainml", "nonsense"], 2, "nonsense"),
        (&["query", "x", "--collection", "none"], 1, "none"),
        (
            &["keys", "create", "--name", "k", "--scopes", "fly"],
            1,
            "fly",
        ),
        (&["keys", "revoke", "key_0"], 1, "no key with this id"),
    ] {
        let output = gateway.bkg(arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.starts_with("bkg: ") && said.contains(what),
            "{arguments:?}: {said}"
        );
    }
}
