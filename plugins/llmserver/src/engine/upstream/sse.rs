//! Server-sent events, parsed as the bytes arrive, with a bound on how long one may be.
//!
//! WHATWG HTML, section 9.2.6 "Interpreting an event stream"; only `data` fields matter here.

use serde_json::Value;

use super::weight::weight;

/// Longest line and longest event, in bytes.
const LONGEST: usize = 1 << 20;
/// Most memory of an event that was read, in bytes.
const HEAVIEST: usize = 16 << 20;

/// One event.
#[derive(Debug, PartialEq)]
pub(super) enum Event {
    /// What a `data` field holds. It is not read before its turn: read, it is much larger.
    Data(Vec<u8>),
    /// `data: [DONE]`: nothing follows.
    Done,
}

/// Why a stream cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(super) enum SseFault {
    /// A line or event beyond the bound.
    #[error("an event is longer than 1 MiB")]
    TooLong,
    /// An event of too many values.
    #[error("an event holds too many values")]
    TooHeavy,
    /// Data that is no JSON.
    #[error("an event is no JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// A parser between two pieces of the stream.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    after_return: bool,
}

impl Events {
    /// Takes the next bytes, cut anywhere, and gives the events that they complete.
    ///
    /// # Errors
    /// [`SseFault`]; the stream is of no use after it.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Event>, SseFault> {
        let mut events = Vec::new();
        for &byte in bytes {
            let second_of_two = byte == b'\n' && self.after_return;
            self.after_return = byte == b'\r';
            match byte {
                b'\n' if second_of_two => (),
                b'\n' | b'\r' => events.extend(self.end_line()?),
                _ if self.line.len() >= LONGEST => return Err(SseFault::TooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(events)
    }

    /// The event that the stream's end completes: some servers leave out the last empty line.
    ///
    /// # Errors
    /// As [`Events::feed`].
    pub(super) fn finish(&mut self) -> Result<Option<Event>, SseFault> {
        if !self.line.is_empty() {
            self.end_line()?;
        }
        self.dispatch()
    }

    fn end_line(&mut self) -> Result<Option<Event>, SseFault> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return self.dispatch();
        }
        if let Some(value) = line.strip_prefix(b"data:") {
            if self.data.len() + value.len() >= LONGEST {
                return Err(SseFault::TooLong);
            }
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            self.data
                .extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        }
        Ok(None)
    }

    fn dispatch(&mut self) -> Result<Option<Event>, SseFault> {
        let data = std::mem::take(&mut self.data);
        Ok(match data.trim_ascii() {
            [] => None,
            b"[DONE]" => Some(Event::Done),
            json => Some(Event::Data(json.to_vec())),
        })
    }
}

/// A piece of an answer, and how many bytes of memory it takes.
pub(super) type Piece = (Value, usize);

/// The JSON of an event's data.
///
/// # Errors
/// Where it is none, or of too many values.
pub(super) fn piece(data: &[u8]) -> Result<Piece, SseFault> {
    match weight(data) {
        weight if weight > HEAVIEST => Err(SseFault::TooHeavy),
        weight => Ok((serde_json::from_slice(data)?, weight)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const STREAM: &str =
        ": hello\r\n\r\nevent: x\r\ndata: {\"a\":\r\ndata:1}\r\n\r\ndata:[DONE]\n\n";

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        for cut in 1..STREAM.len() {
            let mut parser = Events::default();
            let events: Vec<Event> = STREAM
                .as_bytes()
                .chunks(cut)
                .flat_map(|chunk| parser.feed(chunk).unwrap())
                .collect();
            let [Event::Data(data), Event::Done] = &events[..] else {
                panic!("{cut}: {events:?}");
            };
            assert_eq!(piece(data).unwrap().0, json!({"a": 1}), "{cut}");
        }
    }

    #[test]
    fn an_endless_line_is_refused_at_its_bound() {
        let mut parser = Events::default();
        let piece = vec![b'x'; 64 << 10];
        let fed = (0..17).try_for_each(|_| parser.feed(&piece).map(drop));
        assert!(matches!(fed, Err(SseFault::TooLong)));
    }

    #[test]
    fn an_endless_event_of_short_lines_is_refused_at_its_bound() {
        let mut parser = Events::default();
        let fed = (0..(LONGEST / 60)).try_for_each(|_| {
            let line = format!("data: {}\n", "x".repeat(80));
            parser.feed(line.as_bytes()).map(drop)
        });
        assert!(matches!(fed, Err(SseFault::TooLong)));
    }

    #[test]
    fn a_last_event_without_its_empty_line_counts() {
        let mut parser = Events::default();
        assert_eq!(parser.feed(b"data: [DONE]").unwrap(), []);
        assert_eq!(parser.finish().unwrap(), Some(Event::Done));
    }

    #[test]
    fn broken_json_is_an_error() {
        assert!(matches!(piece(b"{\"a"), Err(SseFault::Json(_))));
    }

    #[test]
    fn a_short_event_that_would_be_large_in_memory_is_refused() {
        let data = b"[{}],".repeat(LONGEST / 5);
        assert!(matches!(piece(&data), Err(SseFault::TooHeavy)));
    }
}
