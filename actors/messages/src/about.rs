//! The request that work is for at the moment, so that every log line of it can say so.

use std::sync::Arc;

use tokio::task::futures::TaskLocalFuture;

use crate::trace::TraceId;

tokio::task_local! {
    static NOW: About;
}

/// What the log lines of a request carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The request's id.
    pub request_id: Arc<str>,
    /// The id of its trace.
    pub trace_id: TraceId,
}

impl About {
    /// The request that this thread works for at the moment, if any.
    pub fn now() -> Option<Self> {
        NOW.try_with(Self::clone).ok()
    }

    /// Does `work` for this request.
    pub fn during<T>(self, work: impl FnOnce() -> T) -> T {
        NOW.sync_scope(self, work)
    }

    /// Does `work` for this request, whichever threads poll it.
    pub fn around<F: Future>(self, work: F) -> TaskLocalFuture<Self, F> {
        NOW.scope(self, work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_knows_its_request_and_the_next_work_does_not() {
        let about = About {
            request_id: "r".into(),
            trace_id: TraceId::random(),
        };
        let seen = about.clone().around(async {
            tokio::task::yield_now().await;
            About::now()
        });
        assert_eq!(seen.await, Some(about.clone()));
        assert_eq!(About::now(), None);
        assert_eq!(about.clone().during(About::now), Some(about));
        assert_eq!(About::now(), None);
    }
}
