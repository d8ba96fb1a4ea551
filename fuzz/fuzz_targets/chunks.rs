//! Chunks of documents: together they hold every byte that is not white space, on character
//! boundaries, none longer than promised, and none inside the one before.
#![no_main]

#[path = "../../plugins/brainml/src/chunker.rs"]
mod chunker;
#[path = "../../plugins/brainml/src/segments.rs"]
mod segments;

use chunker::{ChunkSizes, chunks};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u8, &str)| {
    let (words, overlap, text) = input;
    let sizes = ChunkSizes {
        words: words.into(),
        overlap: overlap.into(),
    };
    for sizes in [sizes, ChunkSizes::default()] {
        let mut covered = 0;
        for range in chunks(text, sizes) {
            let chunk = text.get(range.clone()).expect("a range of characters");
            assert_eq!(chunk.trim(), chunk);
            assert!(chunk.len() <= 8 << 10);
            if range.start > covered {
                assert!(text[covered..range.start].trim().is_empty());
            }
            assert!(range.end > covered, "chunks advance");
            covered = range.end;
        }
        assert!(text[covered..].trim().is_empty());
    }
});
