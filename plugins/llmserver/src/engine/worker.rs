//! The thread that does the arithmetic of one embedding engine, fed by a bounded channel.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use messages::{call::Cx, fault::Fault, host::Host, llmserver::EmbedInput};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use super::{
    embedder::Embedder,
    queue::{Embedded, Queue, Reply},
};

/// Calls that wait in the channel, and as many again that may wait in the queue.
const WAITING: usize = 64;

/// One call's work.
struct Job {
    inputs: Vec<EmbedInput>,
    cx: Cx,
    reply: Reply,
}

/// A handle to the thread. The thread ends with the last handle, or with the plugin's life.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    jobs: mpsc::Sender<Job>,
}

impl Worker {
    /// Starts a thread for `engine`; a batch holds at most `budget` tokens.
    ///
    /// # Errors
    /// When the system grants no thread.
    pub(crate) fn start(
        host: &Host,
        engine: Arc<impl Embedder>,
        budget: usize,
    ) -> Result<Self, Fault> {
        let (jobs, inbox) = mpsc::channel(WAITING);
        let desk = Desk {
            engine,
            budget,
            host: host.clone(),
            queue: Queue::default(),
        };
        host.thread("embed", move || desk.run(inbox))
            .map_err(|error| Fault::internal(format!("no thread for the embedder: {error}")))?;
        Ok(Self { jobs })
    }

    /// Queues `inputs` and waits for their vectors. The call's context, and with it its permit,
    /// stays with the work.
    ///
    /// # Errors
    /// [`Overloaded`](messages::fault::FaultKind::Overloaded) when too many calls wait,
    /// [`Crashed`](messages::fault::FaultKind::Crashed) when the engine panicked over a batch
    /// with this call in it, and whatever the engine says of an input.
    pub(crate) async fn embed(&self, inputs: Vec<EmbedInput>, cx: Cx) -> Result<Embedded, Fault> {
        let (reply, answer) = oneshot::channel();
        let job = Job { inputs, cx, reply };
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Fault::overloaded("too many calls wait for the embedder")
                .with_retry_after(Duration::from_secs(1)),
            TrySendError::Closed(_) => Fault::stopped("the embedder has ended"),
        })?;
        answer
            .await
            .unwrap_or_else(|_| Err(Fault::cancelled("the call ended before its turn")))
    }
}

/// The thread's own state.
struct Desk<E> {
    engine: Arc<E>,
    budget: usize,
    host: Host,
    queue: Queue,
}

impl<E: Embedder> Desk<E> {
    fn run(mut self, mut inbox: mpsc::Receiver<Job>) {
        while !self.host.life().is_cancelled() {
            if self.queue.len() == 0 {
                match inbox.blocking_recv() {
                    Some(job) => self.admit(job),
                    None => return,
                }
            }
            while self.queue.len() < WAITING
                && let Ok(job) = inbox.try_recv()
            {
                self.admit(job);
            }
            self.queue.drop_the_over();
            self.work();
        }
    }

    /// Tokenises a call's inputs, on all cores, and queues them.
    fn admit(&mut self, job: Job) {
        if job.cx.is_over() || job.reply.is_closed() {
            return;
        }
        let inputs = job.inputs.par_iter();
        let sequences = self.guard(|| inputs.map(|input| self.engine.tokens(input)).collect());
        match sequences {
            Ok(sequences) => self.queue.add(sequences, job.cx, job.reply),
            Err(fault) => drop(job.reply.send(Err(fault))),
        }
    }

    /// Draws one batch and does it.
    fn work(&mut self) {
        let batch = self.queue.next_batch(self.budget);
        if batch.is_empty() {
            return;
        }
        let sequences: Vec<&[u32]> = batch.iter().map(|piece| piece.ids.as_slice()).collect();
        match self.guard(|| self.engine.embed(&sequences)) {
            Ok(vectors) => self.queue.settle(batch, vectors),
            Err(fault) => self.queue.fail(&batch, &fault),
        }
    }

    /// Runs `work`; a panic in it is counted and becomes a fault.
    fn guard<T>(&self, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|panic| Err(self.host.report_panic("the embedder", &*panic)))
    }
}

#[cfg(test)]
mod tests;
