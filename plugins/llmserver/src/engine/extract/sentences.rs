//! Where sentences begin and end, in bytes.

use std::ops::Range;

/// Abbreviations after which a full stop ends nothing.
const ABBREVIATIONS: &[&str] = &[
    "al", "approx", "cf", "ch", "dr", "e.g", "eq", "eqs", "etc", "fig", "figs", "i.e", "mr", "mrs",
    "no", "p", "pp", "prof", "ref", "refs", "sec", "st", "vol", "vs",
];

/// The sentences of `text`, in order, without the white space around them. Every character that is
/// not white space is in exactly one.
///
/// A sentence ends at `.`, `!`, `?` or `…` (with closing quotes and brackets) before white space,
/// unless the next letter is small or the stop belongs to an abbreviation, an initial or a number
/// of a list; where the stop stands alone between spaces, as in tokenised text; at the stops of
/// Chinese and Japanese; at an empty line; and before a line that begins a heading or a list item.
pub(super) fn split(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        if at == start && c.is_whitespace() {
            start = end;
            continue;
        }
        let (before, after) = (text.get(start..end), text.get(end..));
        if let (Some(before), Some(after)) = (before, after)
            && ends(before, c, after)
        {
            found.push(start..end);
            start = end;
        }
    }
    found.push(start..text.len());
    found
        .into_iter()
        .filter_map(|range| trimmed(text, range))
        .collect()
}

/// Whether a sentence ends between `before`, whose last character is `c`, and `after`.
fn ends(before: &str, c: char, after: &str) -> bool {
    match c {
        '。' | '！' | '？' | '．' => true,
        '\n' => {
            after
                .trim_start_matches([' ', '\t', '\r'])
                .starts_with('\n')
                || begins_block(after)
        }
        _ if !after.starts_with(char::is_whitespace) => false,
        // What closes is asked first: no white space does, so a run of it is looked through once.
        _ => {
            let goes_on = || after.trim_start().starts_with(char::is_lowercase);
            closes(before) && (stands_alone(before) || !goes_on())
        }
    }
}

/// Whether `line` begins a heading or an item of a list.
fn begins_block(line: &str) -> bool {
    let line = line.trim_start_matches([' ', '\t']);
    let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = digits.len() < line.len() && digits.starts_with(". ");
    numbered
        || ["- ", "* ", "+ ", "#", "```", "|"]
            .iter()
            .any(|mark| line.starts_with(mark))
}

/// Whether `text` ends in a stop with white space, or nothing, before it.
fn stands_alone(text: &str) -> bool {
    let stem = text.strip_suffix(['.', '!', '?']);
    stem.is_some_and(|stem| stem.is_empty() || stem.ends_with(char::is_whitespace))
}

/// Whether `text` ends like a sentence.
fn closes(text: &str) -> bool {
    let bare = text.trim_end_matches(['"', '\'', ')', ']', '”', '’', '»']);
    if bare.ends_with(['!', '?', '…']) {
        return true;
    }
    let Some(stem) = bare.strip_suffix('.') else {
        return false;
    };
    let last = stem.rsplit(char::is_whitespace).next().unwrap_or_default();
    let last = last.trim_start_matches(['(', '[', '"', '“']);
    let initial = last.chars().count() == 1 && last.chars().all(char::is_alphabetic);
    let number_of_item =
        last.len() == stem.len() && !last.is_empty() && last.chars().all(|c| c.is_ascii_digit());
    let abbreviation = ABBREVIATIONS.contains(&last.to_lowercase().as_str());
    !(initial || number_of_item || abbreviation)
}

fn trimmed(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let piece = text.get(range.clone())?;
    let start = range.start + (piece.len() - piece.trim_start().len());
    let end = start + piece.trim().len();
    (start < end).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(text: &str) -> Vec<&str> {
        split(text)
            .into_iter()
            .map(|range| text.get(range).unwrap())
            .collect()
    }

    #[test]
    fn stops_before_a_new_sentence_end_one() {
        assert_eq!(
            sentences("Keys expire.  Make a new one! \"Really?\" Yes (now). done"),
            [
                "Keys expire.",
                "Make a new one!",
                "\"Really?\"",
                "Yes (now). done"
            ]
        );
    }

    #[test]
    fn stops_within_numbers_abbreviations_and_initials_do_not() {
        let text = "At Mach 2.5, e.g. near Fig. 3 of J. Smith et al. Dr. Who agrees.";
        assert_eq!(sentences(text), [text]);
    }

    #[test]
    fn stops_that_stand_alone_end_one_whatever_follows() {
        assert_eq!(
            sentences("a wing in a slipstream . the lift rose by 2.5 percent . end"),
            [
                "a wing in a slipstream .",
                "the lift rose by 2.5 percent .",
                "end"
            ]
        );
    }

    #[test]
    fn headings_items_and_empty_lines_separate() {
        assert_eq!(
            sentences("# Title\nA line\ngoes on.\n\n1. First item\n- second\nend"),
            [
                "# Title\nA line\ngoes on.",
                "1. First item",
                "- second\nend"
            ]
        );
    }

    #[test]
    fn cjk_stops_need_no_space() {
        assert_eq!(
            sentences("鍵を作る。次に使う。"),
            ["鍵を作る。", "次に使う。"]
        );
    }

    #[test]
    fn a_run_of_white_space_is_looked_through_once() {
        let spaces = " ".repeat(1 << 20);
        let began = std::time::Instant::now();
        for text in [
            format!("One.{spaces}Two."),
            format!("{spaces}One.\nTwo."),
            format!("{spaces}{}", "7. a ".repeat(1 << 17)),
            format!("One.{}Two.", "\n".repeat(1 << 20)),
        ] {
            assert!(!split(&text).is_empty());
        }
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    }

    #[test]
    fn nothing_is_lost_and_nothing_overlaps() {
        let text = "  One. two.Three…\r\n\r\nFour?? 5.\n\n  six 🙂. Seven ";
        let ranges = split(text);
        assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
        let kept: String = ranges
            .into_iter()
            .map(|range| text.get(range).unwrap())
            .collect();
        let bare = |text: &str| text.replace(char::is_whitespace, "");
        assert_eq!(bare(&kept), bare(text));
        assert!(split(" \n ").is_empty());
    }
}
