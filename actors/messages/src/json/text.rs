//! Strings and numbers: the values whose every byte counts.

use std::borrow::Cow;

use super::{Flaw, Met, Scan, keys::Name};

/// No double has more digits before its point, so a number that is shorter and has no exponent
/// cannot overflow.
const SAFE_DIGITS: usize = 300;

impl<'a> Scan<'a> {
    /// Reads a string, from one quotation mark to the other, and answers what it says.
    pub(super) fn string(&mut self) -> Result<Name<'a>, Met> {
        let start = self.at;
        self.at += 1;
        let mut escaped = false;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            self.at += plain(rest);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.met("a control character in a string")),
                None => return Err(self.met("an early end")),
            }
        }
        self.at += 1;
        let quoted = self.bytes.get(start..self.at).unwrap_or_default();
        Ok(match escaped {
            true => resolved(quoted),
            false => Cow::Borrowed(inner(quoted)),
        })
    }

    fn escape(&mut self) -> Result<(), Met> {
        let start = self.at;
        self.at += 1;
        if self.eat(b"\"\\/bfnrt") {
            return Ok(());
        }
        if !self.eat(b"u") {
            return Err(self.met("an escape that does not exist"));
        }
        let unit = self.four_digits()?;
        let lone = || Err((start, Flaw::LoneSurrogate));
        match unit {
            0xdc00..=0xdfff => lone(),
            0xd800..=0xdbff => {
                if !(self.eat(b"\\") && self.eat(b"u")) {
                    return lone();
                }
                match self.four_digits()? {
                    0xdc00..=0xdfff => Ok(()),
                    _ => lone(),
                }
            }
            _ => Ok(()),
        }
    }

    fn four_digits(&mut self) -> Result<u32, Met> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.met("an escape without four hexadecimal digits"));
            };
            unit = unit << 4 | digit;
            self.at += 1;
        }
        Ok(unit)
    }

    pub(super) fn number(&mut self) -> Result<(), Met> {
        let start = self.at;
        self.eat(b"-");
        // After a first zero nothing but a point or an exponent may come.
        if !self.eat(b"0") {
            self.digits()?;
        }
        if self.eat(b".") {
            self.digits()?;
        }
        let exponent = self.eat(b"eE");
        if exponent {
            self.eat(b"+-");
            self.digits()?;
        }
        let number = self.bytes.get(start..self.at).unwrap_or_default();
        match (exponent || number.len() > SAFE_DIGITS) && overflows(number) {
            true => Err((start, Flaw::Overflow)),
            false => Ok(()),
        }
    }

    fn digits(&mut self) -> Result<(), Met> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        match self.at > start {
            true => Ok(()),
            false => Err(self.met("no digit")),
        }
    }
}

fn overflows(number: &[u8]) -> bool {
    let text = std::str::from_utf8(number).ok();
    let value: Option<f64> = text.and_then(|text| text.parse().ok());
    value.is_none_or(f64::is_infinite)
}

/// What a string with escapes says. It has been checked, so it can be read.
fn resolved(quoted: &[u8]) -> Name<'_> {
    match serde_json::from_slice::<String>(quoted) {
        Ok(text) => Cow::Owned(text.into_bytes()),
        Err(_) => Cow::Borrowed(inner(quoted)),
    }
}

fn inner(quoted: &[u8]) -> &[u8] {
    quoted
        .get(1..quoted.len().saturating_sub(1))
        .unwrap_or_default()
}

/// How many bytes from the beginning are neither a quotation mark, a backslash nor a control
/// character: most of most bodies, so eight are looked at in one step.
fn plain(bytes: &[u8]) -> usize {
    let (eights, _) = bytes.as_chunks::<8>();
    let whole = eights.iter().take_while(|eight| !special(**eight)).count() * 8;
    let rest = bytes.get(whole..).unwrap_or_default();
    let stop = rest
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
    whole + stop.unwrap_or(rest.len())
}

/// Whether one of eight bytes ends a run of plain ones.
fn special(eight: [u8; 8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
    const SLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);
    const SPACES: u64 = u64::from_ne_bytes([b' '; 8]);
    let word = u64::from_ne_bytes(eight);
    // A top bit appears where a byte is less than what is taken from it.
    let below = |word: u64, least: u64| word.wrapping_sub(least) & !word & TOPS;
    let found = below(word ^ QUOTES, ONES) | below(word ^ SLASHES, ONES) | below(word, SPACES);
    found != 0
}
