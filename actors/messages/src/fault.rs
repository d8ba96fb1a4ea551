//! The one error that crosses the bus.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What went wrong, in the terms of a caller. Mapped to an HTTP status in one place of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The request is malformed (400).
    Invalid,
    /// No credentials, or none that hold (401).
    Unauthenticated,
    /// The caller is known and may not do this (403).
    Denied,
    /// What was asked for does not exist, or not for this caller (404).
    Unknown,
    /// It contradicts the present state (409).
    Conflict,
    /// Well-formed but wrong (422; under `/v1` 400).
    Unprocessable,
    /// The caller's own limit is reached (429).
    LimitReached,
    /// The work panicked or an upstream failed; this call is lost (502).
    Crashed,
    /// No free permit (503).
    Overloaded,
    /// The plugin is between two lives (503).
    Restarting,
    /// The plugin is stopped, disabled or not part of this gateway (503).
    Stopped,
    /// The plugin restarted too often and waits for an operator (503).
    Failed,
    /// The deadline passed (504).
    TimedOut,
    /// The caller went away; nobody reads this answer (499 in logs).
    Cancelled,
    /// The disk or the quota is full; reading still works (507).
    StorageFull,
    /// The disk fails under a write (507).
    StorageFailed,
    /// A fault of ours that fits nothing above (500).
    Internal,
}

impl FaultKind {
    /// Its name, as JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthenticated => "unauthenticated",
            Self::Denied => "denied",
            Self::Unknown => "unknown",
            Self::Conflict => "conflict",
            Self::Unprocessable => "unprocessable",
            Self::LimitReached => "limit_reached",
            Self::Crashed => "crashed",
            Self::Overloaded => "overloaded",
            Self::Restarting => "restarting",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::StorageFull => "storage_full",
            Self::StorageFailed => "storage_failed",
            Self::Internal => "internal",
        }
    }
}

/// An answer that says what was wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// The class, on which programs decide.
    pub kind: FaultKind,
    /// A sentence for people.
    pub message: String,
    /// The parameter at fault, where there is one.
    pub param: Option<String>,
    /// A machine-readable code, as OpenAI's `error.code`.
    pub code: Option<String>,
    /// When a new attempt can succeed.
    pub retry_after: Option<Duration>,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident,)*) => {
        $($(#[$doc])* pub fn $name(message: impl Into<String>) -> Self { Self::new(FaultKind::$kind, message) })*
    };
}

impl Fault {
    /// A fault without parameter, code or retry time.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            param: None,
            code: None,
            retry_after: None,
        }
    }

    constructors! {
        /// See [`FaultKind::Invalid`].
        invalid => Invalid,
        /// See [`FaultKind::Unauthenticated`].
        unauthenticated => Unauthenticated,
        /// See [`FaultKind::Denied`].
        denied => Denied,
        /// See [`FaultKind::Unknown`].
        unknown => Unknown,
        /// See [`FaultKind::Conflict`].
        conflict => Conflict,
        /// See [`FaultKind::Unprocessable`].
        unprocessable => Unprocessable,
        /// See [`FaultKind::LimitReached`].
        limit_reached => LimitReached,
        /// See [`FaultKind::Crashed`].
        crashed => Crashed,
        /// See [`FaultKind::Overloaded`].
        overloaded => Overloaded,
        /// See [`FaultKind::Restarting`].
        restarting => Restarting,
        /// See [`FaultKind::Stopped`].
        stopped => Stopped,
        /// See [`FaultKind::Failed`].
        failed => Failed,
        /// See [`FaultKind::TimedOut`].
        timed_out => TimedOut,
        /// See [`FaultKind::Cancelled`].
        cancelled => Cancelled,
        /// See [`FaultKind::StorageFull`].
        storage_full => StorageFull,
        /// See [`FaultKind::StorageFailed`].
        storage_failed => StorageFailed,
        /// See [`FaultKind::Internal`].
        internal => Internal,
    }

    /// Names the parameter at fault.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Gives the machine-readable code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Says when a new attempt can succeed.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

/// The text of a caught panic.
pub fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without text".to_owned())
}
