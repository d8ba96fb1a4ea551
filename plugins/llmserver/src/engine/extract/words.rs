//! Words as they are compared: lower case, without the endings that English grammar adds.

use std::collections::BTreeSet;

/// Words that carry no question: they are everywhere.
const EMPTY: &[&str] = &[
    "a", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did",
    "do", "does", "for", "from", "had", "has", "have", "how", "i", "if", "in", "into", "is", "it",
    "its", "me", "my", "of", "on", "or", "our", "should", "so", "than", "that", "the", "their",
    "there", "these", "they", "this", "those", "to", "was", "we", "were", "what", "when", "where",
    "which", "who", "why", "will", "with", "would", "you", "your",
];

/// The distinct words of `text` that carry meaning; there may be none.
pub(super) fn distinct(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .filter(|word| !EMPTY.contains(&word.as_str()))
        .map(|word| stem(&word))
        .collect()
}

/// Step 1 of a light stemmer: plural, past and participle. Only sentences of passages that were
/// found already are compared with it, so it may be coarse.
fn stem(word: &str) -> String {
    let long_enough = |stem: &&str| stem.chars().count() >= 3;
    let cut = |ending: &str| word.strip_suffix(ending).filter(long_enough);
    if let Some(stem) = cut("ies") {
        return format!("{stem}y");
    }
    let kept = ["ss", "us", "is"]
        .iter()
        .any(|ending| word.ends_with(ending));
    let stem = cut("ing")
        .or_else(|| cut("ed"))
        .or_else(|| cut("es"))
        .or_else(|| if kept { None } else { cut("s") })
        .unwrap_or(word);
    stem.strip_suffix('e').unwrap_or(stem).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_are_one() {
        for (one, other) in [
            ("rotate", "rotated"),
            ("keys", "key"),
            ("body", "bodies"),
            ("layers", "layer"),
            ("heating", "heated"),
            ("caches", "cache"),
        ] {
            assert_eq!(distinct(one), distinct(other), "{one} {other}");
        }
        assert_ne!(distinct("class"), distinct("clas"));
    }

    #[test]
    fn words_that_are_everywhere_do_not_count_even_alone() {
        assert_eq!(distinct("How do I rotate the key?"), distinct("rotate key"));
        assert!(distinct("who are you").is_empty());
        assert!(distinct(" ?! ").is_empty());
    }
}
