//! The trace of a request: the ids that travel with every call, and the spans that tell what took
//! how long. Nothing of what callers say goes into a span: no prompt, no key, no document.
//!
//! The ids and the header `traceparent` are those of W3C Trace Context, level 1.

mod id;
mod open;

use std::{borrow::Cow, fmt::Debug, sync::Arc, time::Instant};

use serde::{Serialize, Serializer};

pub use self::{
    id::{Parent, SpanId, TraceId},
    open::OpenSpan,
};

/// Takes the spans of one trace as they end. It must neither wait nor fail.
pub trait Recorder: Debug + Send + Sync {
    /// Takes a span that has ended.
    fn record(&self, span: Span);
}

/// Where in a trace some work stands. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Trace {
    id: TraceId,
    span: SpanId,
    sampled: bool,
    recorder: Option<Arc<dyn Recorder>>,
}

impl Trace {
    /// A trace of which no spans are taken: it has an id for the log and for others.
    pub fn unrecorded(id: TraceId, span: SpanId, sampled: bool) -> Self {
        Self {
            id,
            span,
            sampled,
            recorder: None,
        }
    }

    /// The first span of this process in the trace `id`, taken by `recorder`; `parent` is the
    /// caller's own span.
    pub fn begin(
        id: TraceId,
        parent: Option<SpanId>,
        sampled: bool,
        recorder: Arc<dyn Recorder>,
    ) -> OpenSpan {
        let trace = Self {
            id,
            span: SpanId::random(),
            sampled,
            recorder: Some(recorder),
        };
        OpenSpan::new(trace, parent, SpanKind::Server, "request".into(), None)
    }

    /// A span below this one.
    pub fn open(
        &self,
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        plugin: Option<Arc<str>>,
    ) -> OpenSpan {
        if self.recorder.is_none() {
            return OpenSpan::untaken(Some(self.clone()));
        }
        let own = Self {
            span: SpanId::random(),
            ..self.clone()
        };
        OpenSpan::new(own, Some(self.span), kind, name.into(), plugin)
    }

    /// The trace's id.
    pub fn id(&self) -> TraceId {
        self.id
    }

    /// What the header `traceparent` tells whoever is asked on behalf of this work.
    pub fn parent(&self) -> Parent {
        Parent {
            trace: self.id,
            span: self.span,
            sampled: self.sampled,
        }
    }
}

/// What a span is, as OpenTelemetry has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SpanKind {
    /// A request that came from outside.
    Server,
    /// Work of our own.
    Internal,
    /// A request to someone outside.
    Client,
}

/// What is known of a span beside its times.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// A text.
    Text(Cow<'static, str>),
    /// A number.
    Number(u64),
    /// Several texts.
    Texts(Vec<String>),
}

impl Attribute {
    /// The bytes that it holds beside itself.
    pub fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Number(_) => 0,
            Self::Texts(texts) => texts
                .iter()
                .map(|text| size_of::<String>() + text.len())
                .sum(),
        }
    }
}

impl Serialize for Attribute {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(out),
            Self::Number(number) => number.serialize(out),
            Self::Texts(texts) => texts.serialize(out),
        }
    }
}

impl From<&'static str> for Attribute {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<u64> for Attribute {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<Vec<String>> for Attribute {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}

/// Attributes by their names, which are those of OpenTelemetry's semantic conventions.
pub type Attributes = Vec<(&'static str, Attribute)>;

/// A span that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Its id.
    pub id: SpanId,
    /// The span that it is a part of; the caller's own, for the first one here.
    pub parent: Option<SpanId>,
    /// What was done: one of few texts.
    pub name: Cow<'static, str>,
    /// What it is.
    pub kind: SpanKind,
    /// Who did it; nothing for the gateway itself.
    pub plugin: Option<Arc<str>>,
    /// When it began.
    pub started: Instant,
    /// When the work had ended, the last piece of a stream included.
    pub ended: Instant,
    /// The class of what went wrong, if anything did.
    pub error: Option<Cow<'static, str>>,
    /// What else is known.
    pub attributes: Attributes,
}

#[cfg(test)]
mod tests;
