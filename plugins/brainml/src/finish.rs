//! Work that must not stop half-way because whoever waited for it has gone away.

use messages::{fault::Fault, host::Host};
use tokio::sync::oneshot;

/// Does work to its end, or to the end of this life, whether or not anybody waits for it.
///
/// # Errors
/// What the work answers; crashed when it panicked.
pub(crate) async fn to_the_end<T: 'static>(
    host: &Host,
    work: impl Future<Output = Result<T, Fault>> + 'static,
) -> Result<T, Fault> {
    let (done, result) = oneshot::channel();
    host.spawn(async move {
        // Nobody may be waiting any more.
        let _ = done.send(work.await);
    });
    let lost = |_| Fault::crashed("brainml broke off this call; what it had confirmed is safe");
    result.await.unwrap_or_else(|error| Err(lost(error)))
}
