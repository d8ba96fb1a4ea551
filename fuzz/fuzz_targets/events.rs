//! Server-sent events of an upstream: cut anywhere, a stream says the same.
#![no_main]

#[path = "../../plugins/llmserver/src/engine/upstream/sse.rs"]
mod sse;
#[path = "../../plugins/llmserver/src/engine/upstream/weight.rs"]
mod weight;

use libfuzzer_sys::fuzz_target;
use sse::{Event, Events};

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, bytes) = input;
    let (whole, whole_ends) = read([bytes]);
    let pieces = bytes.chunks(usize::from(cut).max(1));
    let (cut, cut_ends) = read(pieces);
    assert_eq!(whole_ends, cut_ends);
    // What came before a fault differs, because a feed that fails gives nothing.
    if whole_ends {
        assert_eq!(whole, cut);
        assert!(whole.len() <= bytes.len());
    }
});

/// The events of a stream, and whether it ends well.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, bool) {
    let (mut events, mut found) = (Events::default(), Vec::new());
    for piece in pieces {
        match events.feed(piece) {
            Ok(more) => found.extend(more),
            Err(_) => return (found, false),
        }
    }
    match events.finish() {
        Ok(last) => found.extend(last),
        Err(_) => return (found, false),
    }
    (found, true)
}
