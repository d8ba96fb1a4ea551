//! Cuts text into the pieces that chunks are packed from: headings, sentences, and parts of
//! sentences that are too long for one chunk. All positions are byte offsets into the text.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

/// A word longer than this is cut, in bytes: nothing in a text may outgrow a chunk.
const LONGEST_SEGMENT: usize = 64;
/// A long word counts as one more word for each of these bytes, as embedding models take it apart.
const BYTES_A_WORD: usize = 16;

/// Part of a text that is not divided any further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Where it lies, without white space at either end.
    pub(crate) range: Range<usize>,
    /// How many words and punctuation marks it has, about.
    pub(crate) words: usize,
    /// Whether it is a Markdown heading.
    pub(crate) heading: bool,
}

/// Cuts a text into pieces of at most `longest` words. Together they hold every byte that is not
/// white space.
pub(crate) fn pieces(text: &str, longest: usize) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for block in blocks(text) {
        if block.heading {
            cut(text, block.range, longest, true, &mut pieces);
        } else {
            let body = text.get(block.range.clone()).unwrap_or_default();
            for (at, sentence) in body.split_sentence_bound_indices() {
                let start = block.range.start + at;
                cut(
                    text,
                    start..start + sentence.len(),
                    longest,
                    false,
                    &mut pieces,
                );
            }
        }
    }
    pieces
}

struct Block {
    range: Range<usize>,
    heading: bool,
}

/// Paragraphs and headings, in order and without gaps.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let (mut at, mut open, mut fenced) = (0, false, false);
    for line in text.split_inclusive('\n') {
        let range = at..at + line.len();
        at = range.end;
        fenced ^= line.trim_start().starts_with("```");
        let heading = !fenced && is_heading(line);
        match blocks.last_mut() {
            Some(block) if open && !heading => block.range.end = range.end,
            _ => blocks.push(Block { range, heading }),
        }
        open = !heading && !line.trim().is_empty();
    }
    blocks
}

/// ATX headings (CommonMark 0.31 section 4.2): one to six `#`, then a space.
fn is_heading(line: &str) -> bool {
    let rest = line.trim_start_matches('#');
    let depth = line.len() - rest.len();
    (1..=6).contains(&depth) && rest.starts_with([' ', '\t'])
}

/// Takes a sentence whole where it fits; otherwise in quarters of `longest`, so that chunks can be
/// packed evenly.
fn cut(text: &str, range: Range<usize>, longest: usize, heading: bool, pieces: &mut Vec<Piece>) {
    let segments = segments(text, range);
    let total: usize = segments.iter().map(|(_, words)| words).sum();
    let limit = if total > longest {
        longest.div_ceil(4)
    } else {
        longest
    };
    let mut piece: Option<Piece> = None;
    for (segment, words) in segments {
        match &mut piece {
            Some(open) if open.words + words <= limit => {
                open.range.end = segment.end;
                open.words += words;
            }
            _ => {
                let next = Piece {
                    range: segment,
                    words,
                    heading,
                };
                pieces.extend(piece.replace(next));
            }
        }
    }
    pieces.extend(piece);
}

/// Words and punctuation marks without the white space between them, with their weight in words.
fn segments(text: &str, range: Range<usize>) -> Vec<(Range<usize>, usize)> {
    let body = text.get(range.clone()).unwrap_or_default();
    body.split_word_bound_indices()
        .flat_map(|(at, word)| {
            // A combining mark makes one segment with the white space before it.
            let visible = word.trim_start();
            let skipped = word.len() - visible.len();
            short_parts(range.start + at + skipped, visible.trim_end())
        })
        .collect()
}

fn short_parts(start: usize, word: &str) -> Vec<(Range<usize>, usize)> {
    let mut parts = Vec::new();
    let mut rest = word;
    let mut at = start;
    while !rest.is_empty() {
        let (part, tail) = rest.split_at(rest.floor_char_boundary(LONGEST_SEGMENT));
        parts.push((at..at + part.len(), 1 + part.len() / BYTES_A_WORD));
        at += part.len();
        rest = tail;
    }
    parts
}

#[cfg(test)]
mod tests {
    #![expect(clippy::string_slice, reason = "a wrong offset must fail the test")]

    use super::*;

    fn cut_up(text: &str) -> Vec<(&str, bool)> {
        let pieces = pieces(text, 5);
        pieces
            .iter()
            .map(|p| (&text[p.range.clone()], p.heading))
            .collect()
    }

    #[test]
    fn headings_sentences_and_long_sentences_are_cut() {
        let text = "# Lift\nA wing lifts. It does!\n\none two three four five six";
        let expected = [
            ("# Lift", true),
            ("A wing lifts.", false),
            ("It does!", false),
            ("one two", false),
            ("three four", false),
            ("five six", false),
        ];
        assert_eq!(cut_up(text), expected);
    }

    #[test]
    fn a_comment_in_fenced_code_is_no_heading() {
        let pieces = cut_up("```sh\n# not a heading\n```\n# one\n");
        let headings: Vec<_> = pieces.iter().filter(|(_, heading)| *heading).collect();
        assert_eq!(headings, [&("# one", true)]);
    }

    #[test]
    fn a_hash_without_a_space_is_no_heading() {
        assert!(cut_up("#include <x>").iter().all(|(_, heading)| !heading));
    }

    #[test]
    fn an_endless_word_is_cut_between_characters() {
        let text = "ä".repeat(100);
        let pieces = pieces(&text, 5);
        assert!(pieces.len() > 1);
        assert_eq!(pieces.last().unwrap().range.end, text.len());
    }
}
