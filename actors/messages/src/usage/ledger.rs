//! The ledger: a meter for every key, and the use that has not been written down yet.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::civil::Date;

use super::{Limits, Meter, Moment, Tokens};

/// What uses are added up by. Every part is one of few, whatever callers send.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Line {
    /// The day, in UTC.
    pub day: Date,
    /// The key's id; `session` or `owner` for those who came without one.
    pub key: Arc<str>,
    /// The user who stands behind it.
    pub user: Arc<str>,
    /// The model's id; empty where none was asked.
    pub model: Arc<str>,
    /// The pattern of the route; `other` where there is none.
    pub route: Arc<str>,
    /// The status of the answer; 499 where the caller did not wait for it.
    pub status: u16,
}

/// Uses added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many requests.
    pub requests: u64,
    /// Their tokens.
    pub tokens: Tokens,
    /// The sum of their durations, each to the end of its answer.
    pub took: Duration,
    /// The longest of these durations.
    pub longest: Duration,
}

impl Totals {
    /// One request.
    pub fn one(tokens: Tokens, took: Duration) -> Self {
        Self {
            requests: 1,
            tokens,
            took,
            longest: took,
        }
    }

    /// Adds more of them.
    pub fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.tokens.prompt = self.tokens.prompt.saturating_add(other.tokens.prompt);
        self.tokens.completion = (self.tokens.completion).saturating_add(other.tokens.completion);
        self.took = self.took.saturating_add(other.took);
        self.longest = self.longest.max(other.longest);
    }
}

/// About how long a key's id is.
const ID_BYTES: usize = 12;

/// Uses by what they are added up by.
pub type Lines = HashMap<Line, Totals>;

/// The ledger that the HTTP edge and `apikeys` share. It is made before the plugins and outlives
/// them all, so that a restart of `apikeys` neither forgets nor forgives anything.
#[derive(Debug, Default)]
pub struct Ledger {
    meters: Mutex<HashMap<String, Arc<Meter>>>,
    unwritten: Mutex<Lines>,
    /// Held while lines are on their way from here to the database.
    turn: Mutex<()>,
}

impl Ledger {
    /// The meter of the key `id`, with `limits` in force; `used` tells how many tokens it has used in the
    /// month of `now`, and is asked where the key is new here.
    ///
    /// # Errors
    /// Those of `used`.
    pub fn meter<E>(
        &self,
        id: &str,
        limits: Limits,
        now: Moment,
        used: impl FnOnce() -> Result<u64, E>,
    ) -> Result<Arc<Meter>, E> {
        let meter = self.known_meter(id, limits, now, used)?;
        meter.limit(limits, now);
        Ok(meter)
    }

    /// The meter of the key `id` as it stands; where there is none, a new one under `limits`. This
    /// is for who has read `limits` outside the write turn, where they may have been changed since.
    ///
    /// # Errors
    /// Those of `used`, which is as in [`Ledger::meter`].
    pub fn known_meter<E>(
        &self,
        id: &str,
        limits: Limits,
        now: Moment,
        used: impl FnOnce() -> Result<u64, E>,
    ) -> Result<Arc<Meter>, E> {
        let mut meters = lock(&self.meters);
        if let Some(meter) = meters.get(id) {
            return Ok(meter.clone());
        }
        let meter = Arc::new(Meter::new(limits, used()?, now));
        meters.insert(id.to_owned(), meter.clone());
        Ok(meter)
    }

    /// Forgets the meter of a key that is gone for good; requests at work keep it until they end.
    pub fn forget(&self, id: &str) {
        lock(&self.meters).remove(id);
    }

    /// About how many bytes the meters take in memory.
    pub fn memory_bytes(&self) -> usize {
        let meter = size_of::<(String, Arc<Meter>)>() + size_of::<Meter>() + ID_BYTES;
        lock(&self.meters).len() * meter
    }

    /// Adds a use.
    pub fn add(&self, line: Line, totals: &Totals) {
        lock(&self.unwritten).entry(line).or_default().add(totals);
    }

    /// Has `write` write down what has not been written yet, and keeps it where that fails.
    /// One at a time; blocks while another is at it.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn write_down<E>(&self, write: impl FnOnce(&Lines) -> Result<(), E>) -> Result<(), E> {
        let _turn = lock(&self.turn);
        let taken = std::mem::take(&mut *lock(&self.unwritten));
        if taken.is_empty() {
            return Ok(());
        }
        let mut taken = Taken {
            ledger: self,
            lines: taken,
        };
        write(&taken.lines)?;
        taken.lines.clear();
        Ok(())
    }

    /// Lets `read` see what has not been written, at a moment when nothing is on its way: each use
    /// is either there or in the database.
    pub fn read<T>(&self, read: impl FnOnce(&dyn Fn() -> Lines) -> T) -> T {
        let _turn = lock(&self.turn);
        read(&|| lock(&self.unwritten).clone())
    }
}

/// Lines on their way. What has not arrived goes back, also after a panic.
struct Taken<'a> {
    ledger: &'a Ledger,
    lines: Lines,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut unwritten = lock(&self.ledger.unwritten);
        for (line, totals) in self.lines.drain() {
            unwritten.entry(line).or_default().add(&totals);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
