//! The thread: batches over calls, panics, cancellation.

use std::sync::{Mutex, mpsc as blocking};

use messages::fault::FaultKind;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::testing::{cx, cx_of, host};

/// An engine whose batches are let through one at a time, and which panics over token 666.
struct Gated {
    gate: Mutex<blocking::Receiver<()>>,
    batches: Mutex<Vec<usize>>,
}

impl Gated {
    fn new() -> (Arc<Self>, blocking::Sender<()>) {
        let (key, gate) = blocking::channel();
        let engine = Self {
            gate: Mutex::new(gate),
            batches: Mutex::default(),
        };
        (Arc::new(engine), key)
    }
}

impl Embedder for Gated {
    fn tokens(&self, input: &EmbedInput) -> Result<Vec<u32>, Fault> {
        match input {
            EmbedInput::Tokens(ids) if ids.is_empty() => Err(Fault::invalid("empty")),
            EmbedInput::Tokens(ids) => Ok(ids.clone()),
            EmbedInput::Text(text) => panic!("no text: {text}"),
        }
    }

    fn embed(&self, sequences: &[&[u32]]) -> Result<Vec<Vec<f32>>, Fault> {
        self.gate.lock().unwrap().recv().unwrap();
        self.batches.lock().unwrap().push(sequences.len());
        assert!(
            !sequences.iter().any(|ids| ids.contains(&666)),
            "the number"
        );
        Ok(sequences
            .iter()
            .map(|ids| vec![f32::from(u16::try_from(ids[0]).unwrap())])
            .collect())
    }
}

fn ids(ids: &[u32]) -> Vec<EmbedInput> {
    ids.iter().map(|id| EmbedInput::Tokens(vec![*id])).collect()
}

#[tokio::test]
async fn calls_that_wait_share_a_batch() {
    let (engine, key) = Gated::new();
    let worker = Worker::start(&host(), engine.clone(), 100).unwrap();
    let calls = [1, 2, 3].map(|id| {
        let worker = worker.clone();
        tokio::spawn(async move { worker.embed(ids(&[id]), cx()).await })
    });
    // The first call may have a batch of its own; what came meanwhile goes into the next.
    tokio::task::yield_now().await;
    for _ in 0..3 {
        key.send(()).ok();
    }
    for (call, id) in calls.into_iter().zip([1.0, 2.0, 3.0]) {
        assert_eq!(call.await.unwrap().unwrap().vectors, [vec![id]]);
    }
    assert!(engine.batches.lock().unwrap().len() <= 2);
}

#[tokio::test]
async fn a_panic_fails_its_batch_and_the_thread_goes_on() {
    let (engine, key) = Gated::new();
    let worker = Worker::start(&host(), engine, 1).unwrap();
    for _ in 0..3 {
        key.send(()).unwrap();
    }
    let (bad, good) = tokio::join!(
        worker.embed(ids(&[666]), cx()),
        worker.embed(ids(&[5]), cx())
    );
    let fault = bad.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Crashed);
    assert!(fault.message.contains("the number"), "{fault}");
    assert_eq!(good.unwrap().vectors, [vec![5.0]]);
    assert!(worker.embed(ids(&[6]), cx()).await.is_ok());
}

#[tokio::test]
async fn a_panic_and_an_error_in_tokenising_are_the_callers_own() {
    let (engine, key) = Gated::new();
    let worker = Worker::start(&host(), engine, 100).unwrap();
    let text = vec![EmbedInput::Text("boom".to_owned())];
    let fault = worker.embed(text, cx()).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Crashed);
    let empty = vec![EmbedInput::Tokens(Vec::new())];
    let fault = worker.embed(empty, cx()).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Invalid);
    key.send(()).unwrap();
    assert!(worker.embed(ids(&[1]), cx()).await.is_ok());
}

#[tokio::test]
async fn a_cancelled_call_is_skipped_before_its_batch() {
    let (engine, key) = Gated::new();
    let worker = Worker::start(&host(), engine.clone(), 1).unwrap();
    let cancel = CancellationToken::new();
    let first = worker.embed(ids(&[1]), cx());
    let cancelled = worker.embed(ids(&[2, 3, 4]), cx_of(&cancel));
    let last = worker.embed(ids(&[5]), cx());
    let (first, cancelled, last) = tokio::join!(first, cancelled, async {
        cancel.cancel();
        (0..5).for_each(|_| key.send(()).unwrap());
        last.await
    });
    assert!(first.is_ok() && last.is_ok());
    assert_eq!(cancelled.unwrap_err().kind, FaultKind::Cancelled);
    assert_eq!(*engine.batches.lock().unwrap(), [1, 1]);
}

#[tokio::test]
async fn more_calls_than_may_wait_are_refused_at_once() {
    let (engine, key) = Gated::new();
    let worker = Worker::start(&host(), engine, 1).unwrap();
    let calls: Vec<_> = (0..3 * WAITING)
        .map(|_| {
            let worker = worker.clone();
            tokio::spawn(async move { worker.embed(ids(&[1]), cx()).await })
        })
        .collect();
    tokio::task::yield_now().await;
    drop(key);
    let mut refused = 0;
    for call in calls {
        let fault = call.await.unwrap().unwrap_err();
        refused += usize::from(fault.kind == FaultKind::Overloaded);
    }
    assert!(refused > 0);
}
