//! The work that waits for an embedding engine, and how batches are drawn from it.

use std::{cmp::Reverse, collections::VecDeque};

use messages::{call::Cx, fault::Fault};
use tokio::sync::oneshot;

/// The vectors of one call, in the order of its inputs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Embedded {
    /// One vector an input.
    pub(crate) vectors: Vec<Vec<f32>>,
    /// Tokens that the engine read, special ones included.
    pub(crate) tokens: usize,
}

/// Where a call's answer goes.
pub(crate) type Reply = oneshot::Sender<Result<Embedded, Fault>>;

/// One sequence in a batch.
#[derive(Debug)]
pub(crate) struct Piece {
    task: u64,
    place: usize,
    /// The sequence's tokens.
    pub(crate) ids: Vec<u32>,
}

/// Calls that are not answered yet. Turns go round: each call gives one sequence to a batch in
/// turn, so that a short question does not wait for the end of an indexing run.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    tasks: VecDeque<Task>,
    next: u64,
}

#[derive(Debug)]
struct Task {
    id: u64,
    waiting: Vec<(usize, Vec<u32>)>,
    done: Vec<(usize, Vec<f32>)>,
    inputs: usize,
    tokens: usize,
    cx: Cx,
    reply: Reply,
}

impl Queue {
    /// Calls in it.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Adds a call with its sequences, one an input.
    pub(crate) fn add(&mut self, sequences: Vec<Vec<u32>>, cx: Cx, reply: Reply) {
        let inputs = sequences.len();
        let tokens = sequences.iter().map(Vec::len).sum();
        let mut waiting: Vec<_> = sequences.into_iter().enumerate().collect();
        // Taken from the end, so equal lengths come out together, and in the order of the inputs.
        waiting.sort_by_key(|(place, ids)| Reverse((ids.len(), *place)));
        self.tasks.push_back(Task {
            id: self.next,
            waiting,
            done: Vec::with_capacity(inputs),
            inputs,
            tokens,
            cx,
            reply,
        });
        self.next += 1;
    }

    /// Drops the calls that nobody waits for any more, or whose time is up.
    pub(crate) fn drop_the_over(&mut self) {
        self.tasks
            .retain(|task| !task.cx.is_over() && !task.reply.is_closed());
    }

    /// The next sequences, of at most `budget` tokens together (but at least one sequence),
    /// sorted by length.
    pub(crate) fn next_batch(&mut self, budget: usize) -> Vec<Piece> {
        let mut batch: Vec<Piece> = Vec::new();
        let mut left = budget;
        let mut passed = 0;
        while passed < self.tasks.len() {
            let Some(mut task) = self.tasks.pop_front() else {
                break;
            };
            let first = batch.is_empty();
            match task.waiting.pop_if(|(_, ids)| first || ids.len() <= left) {
                Some((place, ids)) => {
                    left = left.saturating_sub(ids.len());
                    passed = 0;
                    batch.push(Piece {
                        task: task.id,
                        place,
                        ids,
                    });
                }
                None => passed += 1,
            }
            self.tasks.push_back(task);
        }
        batch.sort_by_key(|piece| piece.ids.len());
        batch
    }

    /// Takes the vectors of a batch and answers the calls that are complete with them.
    pub(crate) fn settle(&mut self, batch: Vec<Piece>, vectors: Vec<Vec<f32>>) {
        for (piece, vector) in batch.into_iter().zip(vectors) {
            if let Some(task) = self.tasks.iter_mut().find(|task| task.id == piece.task) {
                task.done.push((piece.place, vector));
            }
        }
        for task in self.take(|task| task.done.len() == task.inputs) {
            task.answer();
        }
    }

    /// Fails every call that has a sequence in `batch`, and no other.
    pub(crate) fn fail(&mut self, batch: &[Piece], fault: &Fault) {
        for task in self.take(|task| batch.iter().any(|piece| piece.task == task.id)) {
            drop(task.reply.send(Err(fault.clone())));
        }
    }

    fn take(&mut self, which: impl Fn(&Task) -> bool) -> Vec<Task> {
        let (taken, kept) = self.tasks.drain(..).partition(|task| which(task));
        self.tasks = kept;
        Vec::from(taken)
    }
}

impl Task {
    fn answer(mut self) {
        self.done.sort_by_key(|(place, _)| *place);
        let vectors = self.done.into_iter().map(|(_, vector)| vector).collect();
        let embedded = Embedded {
            vectors,
            tokens: self.tokens,
        };
        drop(self.reply.send(Ok(embedded)));
    }
}

#[cfg(test)]
mod tests;
