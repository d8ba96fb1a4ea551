//! Reads documents from files and folders: text, Markdown and JSON lines.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use ignore::WalkBuilder;
use messages::brainml::Document;
use serde_json::{Map, Value};

use super::CliError;

/// The largest file that is taken as one document, in bytes.
const LARGEST_FILE: u64 = 8 << 20;

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Text,
    Markdown,
    JsonLines,
}

impl Reader {
    fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "txt" | "text" | "rst" | "adoc" | "org" => Some(Self::Text),
            "md" | "markdown" => Some(Self::Markdown),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }
}

/// A file to read.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    id: String,
    reader: Reader,
    /// Its length in bytes.
    pub(super) length: u64,
}

/// What to read, and how many files are of no known kind.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) sources: Vec<Source>,
    pub(super) skipped: u64,
}

/// Finds the files under `root` in the order of their names. What `.gitignore` names and hidden
/// files are left out.
pub(super) fn find(root: &Path) -> Result<Found, CliError> {
    let mut found = Found::default();
    let walk = WalkBuilder::new(root).sort_by_file_path(Ord::cmp).build();
    for entry in walk {
        let entry = entry.map_err(|error| CliError::Input(error.to_string()))?;
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path();
        // A file that was named is meant, whatever it is called.
        let named = (path == root).then_some(Reader::Text);
        match Reader::of(path).or(named) {
            Some(reader) => found.sources.push(Source {
                id: id(root, path),
                reader,
                length: entry.metadata().map_or(0, |about| about.len()),
                path: path.to_owned(),
            }),
            None => found.skipped += 1,
        }
    }
    Ok(found)
}

/// A document's id is its path below the folder that was named, so that it is the same next time.
fn id(root: &Path, path: &Path) -> String {
    let below = path
        .strip_prefix(root)
        .ok()
        .filter(|rest| !rest.as_os_str().is_empty());
    let name = || path.file_name().map(Path::new);
    let id = below.or_else(name).unwrap_or(path);
    id.to_string_lossy().into_owned()
}

impl Source {
    /// Hands each document of the file to `each`, with the bytes that it took in the file.
    pub(super) fn read(&self) -> Result<Documents, CliError> {
        let file = File::open(&self.path).map_err(|error| self.broken(error))?;
        if self.reader == Reader::JsonLines {
            return Ok(Documents::Lines {
                lines: BufReader::new(file),
                place: self.path.clone(),
                number: 0,
            });
        }
        let mut bytes = Vec::new();
        let read = file.take(LARGEST_FILE + 1).read_to_end(&mut bytes);
        let length = read.map_err(|error| self.broken(error))?;
        if u64::try_from(length).unwrap_or(u64::MAX) > LARGEST_FILE {
            let limit = LARGEST_FILE >> 20;
            return Err(self.wrong(&format!("is larger than {limit} MiB")));
        }
        let text = String::from_utf8(bytes).map_err(|_| self.wrong("is not UTF-8 text"))?;
        let document = Document {
            id: self.id.clone(),
            title: Some(self.title(&text)),
            text,
            metadata: Map::from_iter([("path".to_owned(), Value::from(self.id.clone()))]),
        };
        Ok(Documents::One(Some(document)))
    }

    fn title(&self, text: &str) -> String {
        let heading = text.lines().find_map(|line| line.strip_prefix("# "));
        match heading {
            Some(heading) if self.reader == Reader::Markdown => heading.trim().to_owned(),
            _ => self.id.clone(),
        }
    }

    fn broken(&self, error: io::Error) -> CliError {
        CliError::Io {
            what: self.path.display().to_string(),
            error,
        }
    }

    fn wrong(&self, what: &str) -> CliError {
        CliError::Input(format!("{} {what}", self.path.display()))
    }
}

/// The documents of one file.
#[derive(Debug)]
pub(super) enum Documents {
    One(Option<Document>),
    Lines {
        lines: BufReader<File>,
        place: PathBuf,
        number: u64,
    },
}

impl Iterator for Documents {
    type Item = Result<Document, CliError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::One(document) => document.take().map(Ok),
            Self::Lines {
                lines,
                place,
                number,
            } => next_line(lines, place, number),
        }
    }
}

fn next_line(
    lines: &mut BufReader<File>,
    place: &Path,
    number: &mut u64,
) -> Option<Result<Document, CliError>> {
    let mut line = String::new();
    loop {
        line.clear();
        *number += 1;
        let at = || format!("{}, line {number}", place.display());
        match lines.read_line(&mut line) {
            Ok(0) => return None,
            Ok(_) if line.trim().is_empty() => continue,
            Ok(_) => {
                let document = parse(&line);
                return Some(document.map_err(|why| CliError::Input(format!("{}: {why}", at()))));
            }
            Err(error) => return Some(Err(CliError::Io { what: at(), error })),
        }
    }
}

/// One line: `id` (or BEIR's `_id`), `title`, `text` and `metadata`; what else it holds becomes
/// metadata, so that nothing is lost.
fn parse(line: &str) -> Result<Document, String> {
    let mut fields: Map<String, Value> =
        serde_json::from_str(line).map_err(|error| error.to_string())?;
    let id = fields.remove("id").or_else(|| fields.remove("_id"));
    let id = match id {
        Some(Value::String(id)) => id,
        Some(Value::Number(id)) => id.to_string(),
        _ => return Err("`id` is missing or neither text nor a number".to_owned()),
    };
    let Some(Value::String(text)) = fields.remove("text") else {
        return Err("`text` is missing or not text".to_owned());
    };
    let title = fields.remove("title").and_then(|title| match title {
        Value::String(title) => Some(title),
        _ => None,
    });
    let metadata = match fields.remove("metadata") {
        Some(Value::Object(metadata)) => metadata,
        Some(Value::Null) | None => Map::new(),
        Some(_) => return Err("`metadata` is not an object".to_owned()),
    };
    fields.extend(metadata);
    Ok(Document {
        id,
        title,
        text,
        metadata: fields,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        dir
    }

    fn documents(root: &Path) -> Vec<Result<Document, String>> {
        let found = find(root).unwrap();
        let read = |source: &Source| match source.read() {
            Ok(documents) => documents.map(|d| d.map_err(|e| e.to_string())).collect(),
            Err(error) => vec![Err(error.to_string())],
        };
        found.sources.iter().flat_map(read).collect()
    }

    #[test]
    fn a_folder_is_read_in_order_with_stable_ids() {
        let dir = folder(&[
            ("b/deep.md", b"intro\n# Deep\ntext"),
            ("a.txt", b"plain"),
            ("image.png", b"\x89PNG"),
        ]);
        let read: Vec<Document> = documents(dir.path())
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let ids: Vec<&str> = read.iter().map(|document| document.id.as_str()).collect();
        assert_eq!(ids, ["a.txt", "b/deep.md"]);
        assert_eq!(read[1].title.as_deref(), Some("Deep"));
        assert_eq!(find(dir.path()).unwrap().skipped, 1);
    }

    #[test]
    fn json_lines_take_ids_of_both_spellings_and_lose_nothing() {
        let dir = folder(&[(
            "x.jsonl",
            b"{\"_id\":7,\"text\":\"seven\",\"year\":1958}\n\n{\"id\":\"b\",\"title\":\"B\",\"text\":\"\"}\n",
        )]);
        let read: Vec<Document> = documents(dir.path())
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(
            (read[0].id.as_str(), &read[0].metadata["year"]),
            ("7", &Value::from(1958))
        );
        assert_eq!(
            (read[1].title.as_deref(), read[1].text.as_str()),
            (Some("B"), "")
        );
    }

    #[test]
    fn a_line_that_is_wrong_is_named_by_its_number() {
        let dir = folder(&[("x.jsonl", b"{\"id\":\"a\",\"text\":\"\"}\n{\"id\":\"b\"}\n")]);
        let wrong = documents(dir.path()).remove(1).unwrap_err();
        assert!(
            wrong.contains("line 2") && wrong.contains("`text`"),
            "{wrong}"
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let dir = folder(&[("x.txt", b"\xff\xfe")]);
        let wrong = documents(dir.path()).remove(0).unwrap_err();
        assert!(wrong.contains("UTF-8"), "{wrong}");
    }

    #[test]
    fn a_file_that_is_named_is_read_whatever_it_is_called() {
        let dir = folder(&[("LICENSE", b"text")]);
        let read = documents(&dir.path().join("LICENSE"));
        assert_eq!(read[0].as_ref().unwrap().id, "LICENSE");
    }
}
