//! Replies that arrive in pieces: a bounded channel whose reader's end cancels the work.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::DropGuard;

use crate::{call::Cx, fault::Fault};

/// How a stream ended, apart from its items so that a full channel cannot lose it.
type End = Arc<OnceLock<Option<Fault>>>;

/// Bytes of weighed items that may wait for their reader, however few they are.
pub const MOST_UNREAD: u32 = 2 << 20;

/// An item, and the room that it takes until it is read.
type Placed<T> = (T, Option<OwnedSemaphorePermit>);

/// The worker's end. Holds the call's context, and with it the permit, until the work is done.
///
/// A worker says [`finish`](Outlet::finish) or [`fail`](Outlet::fail); one that is dropped without
/// either has panicked or forgotten, and the reader gets a
/// [`Crashed`](crate::fault::FaultKind::Crashed) fault rather than an answer cut short.
#[derive(Debug)]
pub struct Outlet<T> {
    /// Dropped first, so that the permit is back before the reader learns of the end.
    cx: Cx,
    items: mpsc::Sender<Placed<T>>,
    room: Arc<Semaphore>,
    end: End,
}

/// The reader's end: a [`Stream`] of items that ends after the last one or after a fault.
#[derive(Debug)]
pub struct Deltas<T> {
    items: mpsc::Receiver<Placed<T>>,
    end: End,
    ended: bool,
    _cancel: DropGuard,
}

pub(crate) fn channel<T: Send + 'static>(cx: Cx, capacity: usize) -> (Outlet<T>, Deltas<T>) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    let guard = cx.cancel().clone().drop_guard();
    let end = End::default();
    (
        Outlet {
            items: sender,
            room: Arc::new(Semaphore::new(usize::try_from(MOST_UNREAD).unwrap_or(1))),
            end: end.clone(),
            cx,
        },
        Deltas {
            items: receiver,
            end,
            ended: false,
            _cancel: guard,
        },
    )
}

impl<T: Send + 'static> Outlet<T> {
    /// The call's context.
    pub fn cx(&self) -> &Cx {
        &self.cx
    }

    /// Waits for room and sends one item.
    ///
    /// # Errors
    /// [`Cancelled`](crate::fault::FaultKind::Cancelled) when the reader has gone, and
    /// [`TimedOut`](crate::fault::FaultKind::TimedOut) (which the reader gets too) when the
    /// deadline has passed. Either way the worker should return.
    pub async fn send(&self, item: T) -> Result<(), Fault> {
        self.place(async { self.items.send((item, None)).await.ok() })
            .await
    }

    /// The same for an item of `bytes`, which also waits until so much less than [`MOST_UNREAD`] is
    /// unread. One that is larger waits until it is alone.
    ///
    /// # Errors
    /// As [`Outlet::send`].
    pub async fn send_weighed(&self, item: T, bytes: usize) -> Result<(), Fault> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(MOST_UNREAD);
        self.place(async {
            let room = self.room.clone().acquire_many_owned(bytes).await.ok()?;
            self.items.send((item, Some(room))).await.ok()
        })
        .await
    }

    /// Waits for `sending`, which gives nothing where the reader has gone.
    async fn place(&self, sending: impl Future<Output = Option<()>>) -> Result<(), Fault> {
        tokio::select! {
            biased;
            () = self.cx.cancel().cancelled() => Err(gone()),
            () = tokio::time::sleep_until(self.cx.deadline()) => {
                let fault = Fault::timed_out("the answer was not complete before its deadline");
                self.end_with(Some(fault.clone()));
                Err(fault)
            }
            sent = sending => sent.ok_or_else(gone),
        }
    }

    /// The same from a thread that may block.
    ///
    /// # Errors
    /// As [`Outlet::send`]; the deadline is checked before the item is sent.
    pub fn blocking_send(&self, item: T) -> Result<(), Fault> {
        if self.cx.is_over() {
            return Err(gone());
        }
        self.items.blocking_send((item, None)).map_err(|_| gone())
    }

    /// Says that the stream is complete.
    pub fn finish(self) {
        self.end_with(None);
    }

    /// Ends the stream with a fault.
    pub fn fail(self, fault: Fault) {
        self.end_with(Some(fault));
    }

    /// Ends the stream as a worker's result says.
    pub fn end(self, result: Result<(), Fault>) {
        self.end_with(result.err());
    }
}

impl<T> Outlet<T> {
    fn end_with(&self, fault: Option<Fault>) {
        // The first ending is the true one, of the span too.
        if let Some(fault) = fault.as_ref().filter(|_| self.end.get().is_none()) {
            self.cx.fail(fault);
        }
        drop(self.end.set(fault));
    }
}

impl<T> Drop for Outlet<T> {
    fn drop(&mut self) {
        self.end_with(Some(Fault::crashed("the work broke off before its end")));
    }
}

fn gone() -> Fault {
    Fault::cancelled("the caller has gone away")
}

impl<T> Stream for Deltas<T> {
    type Item = Result<T, Fault>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.items.poll_recv(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some((item, _room))) => Poll::Ready(Some(Ok(item))),
            Poll::Ready(None) => Poll::Ready(self.closing_fault().map(Err)),
        }
    }
}

impl<T> Deltas<T> {
    /// The next item, a fault that ended the stream early, or nothing after the last item.
    pub async fn next(&mut self) -> Option<Result<T, Fault>> {
        match self.items.recv().await {
            Some((item, _room)) => Some(Ok(item)),
            None => self.closing_fault().map(Err),
        }
    }

    fn closing_fault(&mut self) -> Option<Fault> {
        let first = !std::mem::replace(&mut self.ended, true);
        first.then(|| self.end.get().cloned().flatten()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::{call::Origin, fault::FaultKind};

    fn open(deadline: Duration, capacity: usize) -> (Outlet<u32>, Deltas<u32>) {
        let cx = Cx::new(Origin::internal("test"), Instant::now() + deadline, None);
        cx.stream(capacity)
    }

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_finished_stream_ends_after_its_last_item() {
        let (outlet, mut deltas) = open(LONG, 2);
        outlet.send(1).await.unwrap();
        outlet.finish();
        assert_eq!(deltas.next().await, Some(Ok(1)));
        assert_eq!(deltas.next().await, None);
        assert_eq!(deltas.next().await, None);
    }

    #[tokio::test]
    async fn a_fault_is_told_once_even_when_the_channel_was_full() {
        let (outlet, mut deltas) = open(LONG, 1);
        outlet.send(1).await.unwrap();
        outlet.fail(Fault::internal("no"));
        assert_eq!(deltas.next().await, Some(Ok(1)));
        assert_eq!(deltas.next().await, Some(Err(Fault::internal("no"))));
        assert_eq!(deltas.next().await, None);
    }

    #[tokio::test]
    async fn a_worker_that_vanishes_does_not_look_like_one_that_finished() {
        let (outlet, mut deltas) = open(LONG, 1);
        drop(outlet);
        let fault = deltas.next().await.unwrap().unwrap_err();
        assert_eq!(fault.kind, FaultKind::Crashed);
    }

    #[tokio::test]
    async fn dropping_the_reader_cancels_the_work() {
        let (outlet, deltas) = open(LONG, 1);
        let token = outlet.cx().cancel().clone();
        assert!(!token.is_cancelled());
        drop(deltas);
        assert!(token.is_cancelled());
        assert_eq!(outlet.send(1).await.unwrap_err().kind, FaultKind::Cancelled);
    }

    #[tokio::test]
    async fn a_few_large_items_wait_for_their_reader_as_many_small_ones_do() {
        let (outlet, mut deltas) = open(LONG, 8);
        let most = usize::try_from(MOST_UNREAD).unwrap();
        outlet.send_weighed(1, most / 2).await.unwrap();
        outlet.send_weighed(2, most / 2).await.unwrap();
        let mut third = Box::pin(outlet.send_weighed(3, 2 * most));
        let waits = async |third: &mut _| {
            let moment = Duration::from_millis(10);
            tokio::time::timeout(moment, third).await.is_err()
        };
        assert!(waits(&mut third).await);
        assert_eq!(deltas.next().await, Some(Ok(1)));
        assert!(waits(&mut third).await);
        assert_eq!(deltas.next().await, Some(Ok(2)));
        third.await.unwrap();
        assert_eq!(deltas.next().await, Some(Ok(3)));
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_costs_the_answer_its_deadline() {
        let (outlet, mut deltas) = open(Duration::from_millis(5), 1);
        outlet.send(1).await.unwrap();
        assert_eq!(outlet.send(2).await.unwrap_err().kind, FaultKind::TimedOut);
        assert_eq!(deltas.next().await, Some(Ok(1)));
        drop(outlet);
        let fault = deltas.next().await.unwrap().unwrap_err();
        assert_eq!(fault.kind, FaultKind::TimedOut);
    }
}
