//! Judges a JSON text before anything is made of it: one pass over the bytes, without recursion.
//!
//! Readers of JSON disagree over names that come twice, numbers that overflow and halves of
//! surrogate pairs, and a gateway stands between two of them: what one side checked, the other may
//! read differently. So such texts are refused outright.

use std::fmt;

use self::keys::Keys;

mod keys;
mod text;

/// How deep arrays and objects may lie in one another. `serde_json` reads no deeper.
pub const MOST_DEEP: u32 = 127;

/// Why a text is refused, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{flaw} at line {line} column {column}")]
pub struct JsonError {
    /// What is wrong.
    pub flaw: Flaw,
    /// The line, from 1.
    pub line: usize,
    /// The byte in that line, from 1.
    pub column: usize,
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// It is not UTF-8.
    NotUtf8,
    /// It is no JSON: this was expected, or that found.
    Syntax(&'static str),
    /// It is nested deeper than [`MOST_DEEP`].
    TooDeep,
    /// An object has this name twice.
    Twice(String),
    /// A number is too large for a double.
    Overflow,
    /// An escape is half of a surrogate pair.
    LoneSurrogate,
}

impl fmt::Display for Flaw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => out.write_str("what is not UTF-8"),
            Self::Syntax(what) => out.write_str(what),
            Self::TooDeep => write!(out, "nested more than {MOST_DEEP} deep"),
            Self::Twice(name) => write!(out, "the name {name:?} twice in one object"),
            Self::Overflow => out.write_str("a number that is too large"),
            Self::LoneSurrogate => out.write_str("half of a surrogate pair"),
        }
    }
}

/// Whether `bytes` are one JSON value in UTF-8, at most [`MOST_DEEP`] deep, without a name twice in
/// any object, a number that overflows or half a surrogate pair.
///
/// # Errors
/// The first flaw that is met, with its place.
pub fn check(bytes: &[u8]) -> Result<(), JsonError> {
    let judged = match std::str::from_utf8(bytes) {
        Ok(_) => Scan::new(bytes).document(),
        Err(error) => Err((error.valid_up_to(), Flaw::NotUtf8)),
    };
    judged.map_err(|(at, flaw)| {
        let before = bytes.get(..at).unwrap_or(bytes);
        let line_ends = before.iter().filter(|byte| **byte == b'\n');
        let start = before.iter().rposition(|byte| *byte == b'\n');
        JsonError {
            flaw,
            line: line_ends.count() + 1,
            column: at - start.map_or(0, |end| end + 1) + 1,
        }
    })
}

/// A flaw and the byte at which it was met.
type Met = (usize, Flaw);

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
    /// One bit for each that is open, the innermost lowest: whether it is an object.
    objects: u128,
    keys: Keys<'a>,
}

impl<'a> Scan<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            depth: 0,
            objects: 0,
            keys: Keys::default(),
        }
    }

    fn document(mut self) -> Result<(), Met> {
        loop {
            if self.value()? && self.after_value()? {
                return Ok(());
            }
        }
    }

    /// Reads a value, or the beginning of one that holds others. Answers whether it is whole.
    fn value(&mut self) -> Result<bool, Met> {
        match self.next_solid() {
            Some(b'{') => {
                self.enter(true)?;
                if self.next_solid() == Some(b'}') {
                    self.leave();
                    return Ok(true);
                }
                self.key().map(|()| false)
            }
            Some(b'[') => {
                self.enter(false)?;
                if self.next_solid() == Some(b']') {
                    self.leave();
                    return Ok(true);
                }
                Ok(false)
            }
            Some(b'"') => self.string().map(|_| true),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| true),
            Some(b't') => self.word(b"true").map(|()| true),
            Some(b'f') => self.word(b"false").map(|()| true),
            Some(b'n') => self.word(b"null").map(|()| true),
            Some(_) => Err(self.met("no value")),
            None => Err(self.met("an early end")),
        }
    }

    /// Reads what follows a value, up to where the next one begins. Answers whether all is over.
    fn after_value(&mut self) -> Result<bool, Met> {
        loop {
            let next = self.next_solid();
            let inside_object = self.objects & 1 == 1;
            match (self.depth, inside_object, next) {
                (0, _, None) => return Ok(true),
                (0, _, Some(_)) => return Err(self.met("more after the end")),
                (_, _, None) => return Err(self.met("an early end")),
                (_, true, Some(b',')) => {
                    self.at += 1;
                    return self.key().map(|()| false);
                }
                (_, false, Some(b',')) => {
                    self.at += 1;
                    return Ok(false);
                }
                (_, true, Some(b'}')) | (_, false, Some(b']')) => self.leave(),
                (_, true, Some(_)) => return Err(self.met("neither `,` nor `}`")),
                (_, false, Some(_)) => return Err(self.met("neither `,` nor `]`")),
            }
        }
    }

    fn enter(&mut self, object: bool) -> Result<(), Met> {
        if self.depth == MOST_DEEP {
            return Err((self.at, Flaw::TooDeep));
        }
        self.at += 1;
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(object);
        if object {
            self.keys.open_object();
        }
        Ok(())
    }

    fn leave(&mut self) {
        if self.objects & 1 == 1 {
            self.keys.close_object(self.depth);
        }
        self.at += 1;
        self.depth -= 1;
        self.objects >>= 1;
    }

    /// A name and its colon.
    fn key(&mut self) -> Result<(), Met> {
        if self.next_solid() != Some(b'"') {
            return Err(self.met("no name"));
        }
        let start = self.at;
        let name = self.string()?;
        if !self.keys.add(self.depth, name.clone()) {
            return Err((start, Flaw::Twice(shown(&name))));
        }
        if self.next_solid() != Some(b':') {
            return Err(self.met("no `:`"));
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Met> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(self.met("no value"));
        }
        self.at += word.len();
        Ok(())
    }

    /// The next byte that is no space, at which the scan then stands.
    fn next_solid(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other,
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, wanted: &[u8]) -> bool {
        let found = self.peek().is_some_and(|byte| wanted.contains(&byte));
        self.at += usize::from(found);
        found
    }

    fn met(&self, what: &'static str) -> Met {
        (self.at, Flaw::Syntax(what))
    }
}

/// A name for people, who do not want to read a long one.
fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    match text.char_indices().nth(64) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.into_owned(),
    }
}

#[cfg(test)]
mod tests;
