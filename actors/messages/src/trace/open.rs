//! A span under way.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{Attribute, Attributes, Span, SpanId, SpanKind, Trace};

/// A span under way, which ends when it is dropped. Where nobody takes it, it costs nothing and
/// does nothing.
#[derive(Debug)]
pub struct OpenSpan {
    trace: Option<Trace>,
    taken: Option<Taken>,
}

/// What is needed of a span that is taken.
#[derive(Debug)]
struct Taken {
    parent: Option<SpanId>,
    kind: SpanKind,
    plugin: Option<Arc<str>>,
    started: Instant,
    learnt: Mutex<Learnt>,
}

/// What is learnt of a span on its way.
#[derive(Debug, Default)]
struct Learnt {
    name: Cow<'static, str>,
    error: Option<Cow<'static, str>>,
    attributes: Attributes,
}

impl OpenSpan {
    pub(super) fn new(
        trace: Trace,
        parent: Option<SpanId>,
        kind: SpanKind,
        name: Cow<'static, str>,
        plugin: Option<Arc<str>>,
    ) -> Self {
        let learnt = Learnt {
            name,
            ..Learnt::default()
        };
        Self {
            trace: Some(trace),
            taken: Some(Taken {
                parent,
                kind,
                plugin,
                started: Instant::now(),
                learnt: Mutex::new(learnt),
            }),
        }
    }

    /// A span that nobody takes; what is below it belongs to `trace`.
    pub fn untaken(trace: Option<Trace>) -> Self {
        Self { trace, taken: None }
    }

    /// The trace for work that is a part of this span.
    pub fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    /// Who does it.
    pub fn plugin(&self) -> Option<&Arc<str>> {
        self.taken.as_ref()?.plugin.as_ref()
    }

    /// Whether somebody takes it: what is costly to tell need not be told otherwise.
    pub fn is_taken(&self) -> bool {
        self.taken.is_some()
    }

    /// Gives it another name: one of few texts.
    pub fn rename(&self, name: impl Into<Cow<'static, str>>) {
        self.learn(|learnt| learnt.name = name.into());
    }

    /// Tells one more thing of it; told again, the last word counts.
    pub fn set(&self, name: &'static str, value: impl Into<Attribute>) {
        self.learn(|learnt| {
            learnt.attributes.retain(|(known, _)| *known != name);
            learnt.attributes.push((name, value.into()));
        });
    }

    /// Says what went wrong: one of few texts. The first word counts.
    pub fn fail(&self, error: impl Into<Cow<'static, str>>) {
        self.learn(|learnt| {
            learnt.error.get_or_insert_with(|| error.into());
        });
    }

    fn learn(&self, add: impl FnOnce(&mut Learnt)) {
        if let Some(taken) = &self.taken {
            add(&mut taken.learnt());
        }
    }
}

impl Taken {
    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        let (Some(trace), Some(taken)) = (&self.trace, self.taken.take()) else {
            return;
        };
        let Some(recorder) = &trace.recorder else {
            return;
        };
        let learnt = std::mem::take(&mut *taken.learnt());
        recorder.record(Span {
            id: trace.span,
            parent: taken.parent,
            name: learnt.name,
            kind: taken.kind,
            plugin: taken.plugin,
            started: taken.started,
            ended: Instant::now(),
            error: learnt.error,
            attributes: learnt.attributes,
        });
    }
}
