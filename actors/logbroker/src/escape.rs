//! Keeps a log line one line of plain text.

/// The longest message that is kept, in bytes; more says how much was cut.
const LONGEST: usize = 8 * 1024;

/// Makes control characters visible and cuts what is too long.
pub(crate) fn escape(text: &str) -> String {
    // Nearly every text is short and plain.
    if text.len() <= LONGEST && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return text.to_owned();
    }
    let cut = text.len().saturating_sub(LONGEST);
    let head = text
        .get(..text.floor_char_boundary(LONGEST))
        .unwrap_or(text);
    let mut line = String::with_capacity(head.len());
    for letter in head.chars() {
        if is_harmful(letter) {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
    }
    if cut > 0 {
        line.push_str(&format!(" … ({cut} bytes cut)"));
    }
    line
}

/// Control characters (ESC and CR among them), line separators, and marks that turn the direction
/// of text; a tab is harmless.
fn is_harmful(letter: char) -> bool {
    letter != '\t'
        && (letter.is_control()
            || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_stays() {
        let text = "héllo, wörld\t— 日本 🦀 \\n";
        assert_eq!(escape(text), text);
    }

    #[test]
    fn lines_and_terminal_commands_become_visible() {
        assert_eq!(escape("a\r\nERROR forged"), r"a\r\nERROR forged");
        assert_eq!(escape("\u{1b}[2Jgone\u{7f}\0"), r"\u{1b}[2Jgone\u{7f}\u{0}");
        assert_eq!(
            escape("\u{9b}31m\u{2028}\u{202e}"),
            r"\u{9b}31m\u{2028}\u{202e}"
        );
    }

    #[test]
    fn long_text_is_cut_between_letters() {
        let line = escape(&"é".repeat(5_000));
        assert!(
            line.starts_with("éé") && line.ends_with(" … (1808 bytes cut)"),
            "{line}"
        );
        let line = escape(&format!("x{}", "é".repeat(5_000)));
        assert!(
            line.chars().filter(|c| *c == 'é').count() == 4_095,
            "{}",
            line.len()
        );
    }
}
