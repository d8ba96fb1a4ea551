//! One request and its answer: whether it came whole, and how long it and its chunks took.

use std::{
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    figures::{Figures, nanoseconds},
    upstream::{CHUNKS, MARK},
    wire::{Connection, find},
};

/// Whoever is refused at once must not be asked a hundred thousand times a second.
const AFTER_FAILURE: Duration = Duration::from_millis(10);

/// Sends one request that was due at `due`, and takes note of its answer if it `counts`.
pub fn one(
    connection: &mut Connection,
    request: &[u8],
    streamed: bool,
    due: Instant,
    figures: &mut Figures,
    counts: impl Fn(Instant) -> bool,
) {
    let mut answer = Answer::default();
    let asked = connection.ask(request, &mut |piece| answer.take(piece, streamed));
    let now = Instant::now();
    match asked {
        Ok(200) if answer.is_whole(streamed) => {
            if !counts(now) {
                return;
            }
            figures.answers += 1;
            figures.end.saturating_record(nanoseconds(now - due));
            if let Some(first) = answer.first {
                figures.first.saturating_record(nanoseconds(first - due));
            }
            for late in answer.late {
                figures.chunk.saturating_record(late);
            }
        }
        Ok(status) => {
            let text = String::from_utf8_lossy(&answer.line).into_owned();
            figures.fail(format!(
                "status {status}, {} chunks: {text}",
                answer.late.len()
            ));
            thread::sleep(AFTER_FAILURE);
        }
        Err(error) => {
            figures.fail(format!("{error} after {} chunks", answer.late.len()));
            thread::sleep(AFTER_FAILURE);
        }
    }
}

/// What has come of an answer.
#[derive(Default)]
struct Answer {
    /// The line, or of a whole answer the body, that has not ended.
    line: Vec<u8>,
    first: Option<Instant>,
    late: Vec<u64>,
    done: bool,
}

impl Answer {
    fn take(&mut self, piece: &[u8], streamed: bool) {
        self.line.extend_from_slice(piece);
        if !streamed {
            return;
        }
        let mut from = 0;
        while let Some(length) = self.line[from..].iter().position(|byte| *byte == b'\n') {
            let line = &self.line[from..from + length];
            from += length + 1;
            if let Some(at) = find(line, MARK) {
                self.first.get_or_insert_with(Instant::now);
                self.late.push(age(&line[at + MARK.len()..]));
            } else if line.starts_with(b"data: [DONE]") {
                self.done = true;
            }
        }
        self.line.drain(..from);
    }

    fn is_whole(&self, streamed: bool) -> bool {
        match streamed {
            true => self.done && self.late.len() == CHUNKS,
            false => find(&self.line, b"Yes, I am here").is_some(),
        }
    }
}

/// How long ago the time was that stands at the beginning of `text`, in nanoseconds.
fn age(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    let sent = digits.fold(0_u64, |sum, digit| {
        sum.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
    });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    nanoseconds(now).saturating_sub(sent)
}
