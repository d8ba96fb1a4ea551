//! How the gateway ends: readiness goes first, sockets are closed, streams are cut last.

use tokio_util::sync::CancellationToken;

/// The stages of the end, each of which stays once it has come.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    begun: CancellationToken,
    closing: CancellationToken,
    cut: CancellationToken,
}

impl Drain {
    /// From now on the gateway is not ready.
    pub(crate) fn begin(&self) {
        self.begun.cancel();
    }

    /// From now on WebSockets are closed.
    pub(crate) fn close_sockets(&self) {
        self.closing.cancel();
    }

    /// From now on streams end with an error.
    pub(crate) fn cut_now(&self) {
        self.cut.cancel();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.begun.is_cancelled()
    }

    pub(crate) async fn closing(&self) {
        self.closing.cancelled().await;
    }

    pub(crate) async fn cut(&self) {
        self.cut.cancelled().await;
    }
}
