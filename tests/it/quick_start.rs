//! The README's quick start, command by command.

use std::process::Output;

use crate::gateway::{Gateway, bkg, workspace};

/// The lines of the first fenced block after the heading "Quick start" that call `bkg`.
fn commands() -> Vec<Vec<String>> {
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    let (_, section) = readme
        .split_once("\n## Quick start\n")
        .expect("the README has a section \"Quick start\"");
    let section = section.split("\n## ").next().unwrap();
    let block = section.split("```").nth(1);
    let lines = block
        .expect("the quick start has a block of commands")
        .lines();
    lines
        .filter_map(|line| line.strip_prefix("bkg "))
        .map(words)
        .collect()
}

/// Splits a line as a shell does, as far as a quick start needs it: spaces and double quotes.
fn words(line: &str) -> Vec<String> {
    let pieces = line
        .split('"')
        .enumerate()
        .flat_map(|(at, piece)| match at % 2 {
            0 => piece.split_whitespace().map(str::to_owned).collect(),
            _ => vec![piece.to_owned()],
        });
    pieces.collect()
}

/// Whether the output names a document with a byte range, as citations do.
fn cites(output: &Output) -> bool {
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    lines.any(|line| line.trim_start().starts_with('[') && line.contains(".."))
}

#[tokio::test]
async fn the_quick_start_of_the_readme_works() {
    let commands = commands();
    let subcommands: Vec<&str> = commands.iter().map(|words| words[0].as_str()).collect();
    for needed in ["index", "query", "chat", "keys", "logs"] {
        assert!(
            subcommands.contains(&needed),
            "the quick start shows `bkg {needed}`"
        );
    }
    let gateway = Gateway::start().await;
    for words in commands {
        let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = bkg(gateway.data.path(), &[], &arguments);
        let output = command.current_dir(workspace()).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        assert!(
            !output.stdout.is_empty(),
            "{words:?} prints something: {output:?}"
        );
        assert!(
            words[0] != "chat" || cites(&output),
            "{words:?} cites: {output:?}"
        );
        assert!(
            words[0] != "query" || !output.stdout.starts_with(b"nothing"),
            "{output:?}"
        );
    }
}
