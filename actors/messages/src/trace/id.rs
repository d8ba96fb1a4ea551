//! The ids of traces and spans, and the header that carries them.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// The id of a trace: never zero, 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(u128);

/// The id of a span: never zero, 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId(u64);

impl TraceId {
    /// A new one.
    pub fn random() -> Self {
        Self(rand::random::<u128>().max(1))
    }

    /// Its bytes, as OTLP has them.
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Where in the range of all ids it lies, 0 to 1. The low half decides, which W3C wants to be
    /// the random one.
    pub fn place(self) -> f64 {
        let [.., a, b, c, d] = self.bytes();
        f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX)
    }
}

impl SpanId {
    /// A new one.
    pub fn random() -> Self {
        Self(rand::random::<u64>().max(1))
    }

    /// Its bytes, as OTLP has them.
    pub fn bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl Serialize for SpanId {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

/// A text that is no id, or no `traceparent` of W3C.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id as W3C Trace Context has them")]
pub struct NoId;

/// `text`, if it is `digits` lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Result<u128, NoId> {
    let lower = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != digits || !text.bytes().all(lower) {
        return Err(NoId);
    }
    u128::from_str_radix(text, 16).map_err(|_| NoId)
}

impl FromStr for TraceId {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Self, NoId> {
        match hex(text, 32)? {
            0 => Err(NoId),
            id => Ok(Self(id)),
        }
    }
}

impl FromStr for SpanId {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Self, NoId> {
        match u64::try_from(hex(text, 16)?) {
            Ok(0) | Err(_) => Err(NoId),
            Ok(id) => Ok(Self(id)),
        }
    }
}

/// What the header `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub trace: TraceId,
    /// The span of whoever asks.
    pub span: SpanId,
    /// Whether the one who asks keeps its own spans.
    pub sampled: bool,
}

impl fmt::Display for Parent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled);
        write!(out, "00-{}-{}-{flags:02x}", self.trace, self.span)
    }
}

impl FromStr for Parent {
    type Err = NoId;

    /// Later versions may say more after what is known, as W3C has it.
    fn from_str(text: &str) -> Result<Self, NoId> {
        let mut parts = text.split('-');
        let mut part = || parts.next().ok_or(NoId);
        let version = hex(part()?, 2)?;
        let (trace, span) = (part()?.parse()?, part()?.parse()?);
        let flags = hex(part()?, 2)?;
        let more = parts.next().is_some();
        if version == 0xff || (version == 0 && more) {
            return Err(NoId);
        }
        Ok(Self {
            trace,
            span,
            sampled: flags & 1 == 1,
        })
    }
}
