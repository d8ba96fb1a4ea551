//! Where a stream ends that goes beyond what its key has set aside: an upstream need not keep to the
//! most tokens that it was told.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::cost::Cost;
use crate::http::tally::Tally;

/// The longest that tokens are on average, in those that are estimated from the bytes. An estimate
/// cuts nobody short: only what was surely got counts.
const LONGEST: u64 = 4;

/// What a key has set aside for an answer, and what it has surely got of it.
#[derive(Debug)]
pub(crate) struct Ceiling {
    set_aside: u64,
    /// What to set aside next, where the request does not name the most.
    more: Option<u64>,
    answers: u64,
    finished: BTreeSet<u64>,
    pieces: u64,
    estimated: u64,
}

impl Ceiling {
    /// For a request that has `taken` tokens, of which the answer may have what the prompt leaves.
    pub(crate) fn new(cost: &Cost, taken: u64, usual: u64) -> Self {
        Self {
            set_aside: cost.for_answers(taken),
            more: (!cost.names_most()).then_some(usual.max(1)),
            answers: cost.answers(),
            finished: BTreeSet::new(),
            pieces: 0,
            estimated: 0,
        }
    }

    /// Completion tokens that are set aside.
    pub(crate) fn set_aside(&self) -> u64 {
        self.set_aside
    }

    /// Takes the choices of a chunk into account, `tokens` of text by estimate. Answers whether they
    /// may be sent: what goes beyond what is set aside may not, unless more can be.
    pub(crate) fn admits(&mut self, choices: &[Value], tokens: u64, tally: &Tally) -> bool {
        for choice in choices {
            let done = choice
                .get("finish_reason")
                .is_some_and(|why| !why.is_null());
            self.finished.extend(index(choice).filter(|_| done));
        }
        if tokens == 0 {
            return true;
        }
        self.pieces = self.pieces.saturating_add(1);
        self.estimated = self.estimated.saturating_add(tokens);
        let surely = self.pieces.max(self.estimated / LONGEST);
        surely <= self.set_aside || self.set_more_aside(tally)
    }

    fn set_more_aside(&mut self, tally: &Tally) -> bool {
        let Some(more) = self.more else {
            return false;
        };
        match tally.reserve(1..=more) {
            Ok(taken) => {
                // Nothing is limited any more.
                let taken = taken.unwrap_or(u64::MAX);
                self.set_aside = self.set_aside.saturating_add(taken);
                true
            }
            Err(_) => false,
        }
    }

    /// Makes a chunk the last: it holds no text, and each answer under way ends by its length.
    pub(crate) fn end(&self, chunk: &mut Map<String, Value>) {
        let choices = chunk.get("choices").and_then(Value::as_array);
        let of_chat = choices.is_some_and(|all| all.iter().any(|one| one.get("delta").is_some()));
        let under_way = (0..self.answers).filter(|index| !self.finished.contains(index));
        let ends = under_way.map(|index| match of_chat {
            true => json!({"index": index, "delta": {}, "finish_reason": "length"}),
            false => json!({"index": index, "text": "", "finish_reason": "length"}),
        });
        let ends = ends.collect();
        chunk.insert("choices".to_owned(), ends);
    }
}

fn index(choice: &Value) -> Option<u64> {
    choice.get("index")?.as_u64()
}
