//! Cuts text into the pieces that chunks are packed from: headings, sentences, and parts of
//! sentences that are too long for one chunk. All positions are byte offsets into the text.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

/// A word longer than this is cut, in bytes: nothing in a text may outgrow a chunk.
const LONGEST_SEGMENT: usize = 64;
/// A long word counts as one more word for each of these bytes, as embedding models take it apart.
const BYTES_A_WORD: usize = 16;

/// A piece is no longer than this in bytes, white space between its words included.
const LONGEST_PIECE: usize = 4 << 10;
/// What is searched for sentences at a time, in bytes: the rules (UAX 29, SB8) look ahead of every
/// closing bracket and space behind a full stop, so that their time is quadratic in hostile text.
const LONGEST_WINDOW: usize = 4 << 10;
/// Characters other than letters and digits that may follow each other in a window.
const LONGEST_RUN: usize = 64;

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
        let mut rest = block.range;
        while !rest.is_empty() {
            let body = text.get(rest.clone()).unwrap_or_default();
            let window = body.get(..window(body)).unwrap_or(body);
            for (at, sentence) in window.split_sentence_bound_indices() {
                let start = rest.start + at;
                let range = start..start + sentence.len();
                cut(text, range, longest, block.heading, &mut pieces);
            }
            rest.start += window.len().max(1);
        }
    }
    pieces
}

/// The length of the next window: to the end of the line, which ends every sentence, or to white
/// space where the line is long.
fn window(body: &str) -> usize {
    let (mut run, mut blank) = (0, None);
    for (at, character) in body.char_indices() {
        if run == LONGEST_RUN {
            return at;
        }
        if at >= LONGEST_WINDOW {
            return blank.unwrap_or(at);
        }
        let next = at + character.len_utf8();
        if character == '\n' {
            return next;
        }
        run = if character.is_alphanumeric() {
            0
        } else {
            run + 1
        };
        if character.is_whitespace() {
            blank = Some(next);
        }
    }
    body.len()
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
            Some(open)
                if open.words + words <= limit
                    && segment.end - open.range.start <= LONGEST_PIECE =>
            {
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

    #[test]
    fn hostile_text_is_searched_for_sentences_in_small_windows() {
        let brackets = format!("a.{}", ")".repeat(1 << 20));
        let digits = format!("a.{}{}", ")".repeat(60), "1".repeat(1 << 20));
        let spaces = format!("a.{}b", " ".repeat(1 << 20));
        for hostile in [&brackets, &digits, &spaces, &"x. ".repeat(1 << 18)] {
            let mut rest = hostile.as_str();
            while !rest.is_empty() {
                let (head, tail) = rest.split_at(window(rest));
                assert!((1..=LONGEST_WINDOW).contains(&head.len()));
                let marks = head.split(char::is_alphanumeric).map(str::len).max();
                assert!(marks.unwrap() <= LONGEST_RUN);
                rest = tail;
            }
            let pieces = pieces(hostile, 200);
            assert_eq!(pieces.last().unwrap().range.end, hostile.trim_end().len());
        }
    }

    #[test]
    fn sentences_end_where_the_standard_says_in_lines_of_ordinary_length() {
        let text = "He said (see p. 3) no. \"Why?\" she asked.\nIt is 3.5 m long.  \nYes";
        let expected: Vec<_> = text.split_sentence_bounds().map(str::trim).collect();
        let pieces = pieces(text, 100);
        let found: Vec<_> = pieces.iter().map(|p| &text[p.range.clone()]).collect();
        assert_eq!(found, expected);
    }
}
