//! Text that strangers chose, as a terminal may show it.

use std::borrow::Cow;

/// `line` with its control characters written out, so that whoever named a thing can neither begin
/// a line of his own nor move the terminal's cursor, nor turn what is read around.
pub(super) fn plain(line: &str) -> Cow<'_, str> {
    if !line.contains(is_unsafe) {
        return line.into();
    }
    let escaped = |c: char| match is_unsafe(c) {
        true => c.escape_default().collect(),
        false => String::from(c),
    };
    line.chars().map(escaped).collect::<String>().into()
}

fn is_unsafe(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_write_lines_of_its_own_or_steer_the_terminal() {
        for (hostile, shown) in [
            ("a\n7 admin key.create", r"a\n7 admin key.create"),
            ("a\r\u{1b}[2K", r"a\r\u{1b}[2K"),
            ("\u{9b}31m\u{7f}\t", r"\u{9b}31m\u{7f}\t"),
            (
                "\u{202e}nimda\u{2066}\u{2028}",
                r"\u{202e}nimda\u{2066}\u{2028}",
            ),
        ] {
            assert_eq!(plain(hostile), shown);
        }
        for honest in [
            "Größe u\u{308}ber \\ \"x\" 日本 👩\u{200d}👧",
            "",
            "{\"a\":1}",
        ] {
            assert_eq!(plain(honest), honest);
        }
    }
}
