//! Packs a document into chunks, each a byte range of its text.

use std::ops::Range;

use crate::segments::{Piece, pieces};

/// How long chunks are, in words and punctuation marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkSizes {
    /// The longest chunk. The default, 200, stays below the 256 word pieces that MiniLM reads.
    pub(crate) words: usize,
    /// How much of its end a chunk shares with the next one of the same section, at most.
    pub(crate) overlap: usize,
}

impl Default for ChunkSizes {
    fn default() -> Self {
        Self {
            words: 200,
            overlap: 20,
        }
    }
}

/// No chunk is longer than this in bytes: white space weighs nothing, and a chunk is an answer.
const LONGEST_CHUNK: usize = 8 << 10;

/// Divides a text into chunks. Together they hold every byte that is not white space; each begins
/// and ends on a character boundary, without white space. A Markdown heading begins a new chunk.
pub(crate) fn chunks(text: &str, sizes: ChunkSizes) -> Vec<Range<usize>> {
    let longest = sizes.words.max(1);
    let pieces = pieces(text, longest);
    let mut chunks = Vec::new();
    for section in sections(&pieces) {
        pack(section, longest, sizes.overlap, &mut chunks);
    }
    chunks
}

/// A heading belongs to what follows it, together with the headings right above it.
fn sections(pieces: &[Piece]) -> impl Iterator<Item = &[Piece]> {
    pieces.chunk_by(|before, after| before.heading || !after.heading)
}

/// Fills chunks evenly, so that no section ends in a scrap.
fn pack(section: &[Piece], longest: usize, overlap: usize, chunks: &mut Vec<Range<usize>>) {
    let even = even_share(
        section.iter().map(|piece| piece.words).sum(),
        longest,
        overlap,
    );
    let (mut first, mut fresh, mut repeated) = (0, 0, 0);
    for (at, piece) in section.iter().enumerate() {
        let chunk = section.get(first..at).unwrap_or_default();
        let full = repeated + fresh + piece.words > longest || !fits(chunk.first(), piece);
        if fresh > 0 && (fresh >= even || full) {
            chunks.extend(span(chunk));
            let room = overlap.min(longest.saturating_sub(piece.words));
            let (pieces, words) = repeat(chunk, room, piece);
            (first, fresh, repeated) = (at - pieces, 0, words);
        }
        fresh += piece.words;
    }
    chunks.extend(span(section.get(first..).unwrap_or_default()));
}

/// How many words of its own each chunk gets, where each repeats `overlap` words of the one before.
fn even_share(total: usize, longest: usize, overlap: usize) -> usize {
    let own = longest.saturating_sub(overlap).max(1);
    let chunks = total.saturating_sub(overlap).div_ceil(own).max(1);
    total.div_ceil(chunks)
}

fn span(pieces: &[Piece]) -> Option<Range<usize>> {
    Some(pieces.first()?.range.start..pieces.last()?.range.end)
}

/// Whether a chunk may reach from one piece to the end of another.
fn fits(first: Option<&Piece>, last: &Piece) -> bool {
    first.is_none_or(|first| last.range.end - first.range.start <= LONGEST_CHUNK)
}

/// How many pieces at the end of a chunk the one that begins with `next` repeats, and their words: as
/// many as fit into `room`, and never the whole chunk.
fn repeat(chunk: &[Piece], room: usize, next: &Piece) -> (usize, usize) {
    let mut repeated = (0, 0);
    for piece in chunk.iter().skip(1).rev() {
        if repeated.1 + piece.words > room || !fits(Some(piece), next) {
            break;
        }
        repeated = (repeated.0 + 1, repeated.1 + piece.words);
    }
    repeated
}

#[cfg(test)]
mod tests {
    #![expect(clippy::string_slice, reason = "a wrong offset must fail the test")]

    use proptest::prelude::*;

    use super::*;

    const SMALL: ChunkSizes = ChunkSizes {
        words: 8,
        overlap: 3,
    };

    fn texts(text: &str) -> Vec<&str> {
        chunks(text, SMALL)
            .into_iter()
            .map(|range| &text[range])
            .collect()
    }

    #[test]
    fn a_short_text_is_one_chunk() {
        assert_eq!(texts("  One short text.\n"), ["One short text."]);
        assert!(texts(" \n\t").is_empty());
    }

    #[test]
    fn sentences_stay_whole_and_overlap() {
        let text = "One two three. Four. Five six seven. Eight.";
        assert_eq!(
            texts(text),
            ["One two three. Four.", "Four. Five six seven. Eight."]
        );
    }

    #[test]
    fn a_heading_begins_a_chunk_and_is_not_left_alone() {
        let text = "Before.\n\n# Part\n\n## First\nText one.\n## Second\nText two.";
        let expected = [
            "Before.",
            "# Part\n\n## First\nText one.",
            "## Second\nText two.",
        ];
        assert_eq!(texts(text), expected);
    }

    #[test]
    fn no_section_ends_in_a_scrap() {
        let text = "w ".repeat(201);
        let even = ChunkSizes {
            words: 200,
            overlap: 0,
        };
        let lengths = chunks(&text, even)
            .into_iter()
            .map(|range| text[range].split(' ').count());
        assert_eq!(lengths.collect::<Vec<_>>(), [150, 51]);
    }

    #[test]
    fn white_space_does_not_make_chunks_endless() {
        for gap in [" ", "\n", "\n\n", "\t"] {
            for width in [3, 100, 5_000, 20_000] {
                let gap = gap.repeat(width);
                let text = ["word"; 40].join(&gap);
                let chunks = chunks(&text, ChunkSizes::default());
                assert!(chunks.iter().all(|range| range.len() <= LONGEST_CHUNK));
                let first = chunks.first().unwrap().start;
                assert_eq!((first, chunks.last().unwrap().end), (0, text.len()));
            }
        }
    }

    proptest! {
        #[test]
        fn chunks_cover_the_text_on_character_boundaries(text in "(\\PC|[ \n#.a-zäß]){0,400}") {
            let chunks = chunks(&text, SMALL);
            let mut covered = 0;
            for range in &chunks {
                prop_assert!(text.get(range.clone()).is_some_and(|chunk| chunk.trim() == chunk));
                if range.start > covered {
                    prop_assert!(text[covered..range.start].trim().is_empty());
                }
                prop_assert!(range.end > covered, "chunks advance");
                covered = range.end;
            }
            prop_assert!(text[covered..].trim().is_empty());
        }
    }
}
