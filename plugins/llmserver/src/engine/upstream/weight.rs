//! How much memory a JSON text takes once it is read: a short one can become a very large value.

/// What is allocated for the first entries of an object, for those of a list, for each further one,
/// and around a string, in bytes; rounded up.
const OBJECT: usize = 640;
const LIST: usize = 160;
const ENTRY: usize = 112;
const QUOTE: usize = 24;

/// Bytes that the value of `json` takes at the most. It need not be JSON.
pub(super) fn weight(json: &[u8]) -> usize {
    let (mut weight, mut in_string, mut escaped) = (json.len(), false, false);
    for byte in json {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        weight = weight.saturating_add(match byte {
            b'{' => OBJECT,
            b'[' => LIST,
            b',' => ENTRY,
            b'"' => QUOTE,
            _ => 0,
        });
        in_string = *byte == b'"';
    }
    weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structure_weighs_and_text_that_looks_like_it_does_not() {
        assert_eq!(
            weight(br#"{"a":[1,2]}"#),
            11 + OBJECT + QUOTE + LIST + ENTRY
        );
        let text = br#""{[,\"{[,\\","{""#;
        assert_eq!(weight(text), text.len() + 2 * QUOTE + ENTRY);
        assert!(weight(&b"[{},".repeat(1 << 20)) > 512 << 20);
    }
}
