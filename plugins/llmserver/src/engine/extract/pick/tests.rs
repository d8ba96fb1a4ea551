//! What is near enough, and what of it is quoted.

use super::*;

const DOCUMENT: &str = "Title line\n\nKeys are made once. To rotate a key, make a new one and \
    revoke the old one; sessions stay valid. Naïve schemes 🙂 fail. Prices are on another page.";

/// A hit whose chunk begins at the second paragraph of [`DOCUMENT`].
fn hit(cosine: Option<f32>, coverage: f32) -> Hit {
    let start = DOCUMENT.find("Keys").unwrap();
    Hit {
        collection: "guide".to_owned(),
        document_id: "keys.md".to_owned(),
        chunk_id: "keys.md#0".to_owned(),
        score: 1.0,
        text: DOCUMENT.get(start..).unwrap().to_owned(),
        start: u64::try_from(start).unwrap(),
        end: u64::try_from(DOCUMENT.len()).unwrap(),
        title: Some("Keys".to_owned()),
        metadata: serde_json::Map::new(),
        lexical_rank: Some(1),
        vector_rank: None,
        cosine,
        coverage,
        explanation: None,
    }
}

fn settings(quote_bytes: usize) -> ExtractSettings {
    ExtractSettings {
        quote_bytes,
        ..ExtractSettings::default()
    }
}

fn resolve(quote: &Quote) -> &'static str {
    let bytes = usize::try_from(quote.start).unwrap()..usize::try_from(quote.end).unwrap();
    DOCUMENT.get(bytes).unwrap()
}

#[test]
fn the_sentence_that_answers_is_quoted_and_its_offsets_resolve() {
    for (question, words) in [
        ("How do I rotate a key?", "To rotate a key, make"),
        ("naive or naïve scheme failing", "Naïve schemes 🙂 fail."),
        ("where are prices", "Prices are on another page."),
    ] {
        let quotes = pick(question, &[hit(Some(0.5), 0.0)], &settings(1));
        assert_eq!(quotes.len(), 1);
        assert!(quotes[0].text.starts_with(words), "{:?}", quotes[0]);
        assert_eq!(resolve(&quotes[0]), quotes[0].text);
    }
}

#[test]
fn a_quote_grows_by_whole_sentences() {
    let quotes = pick("rotate", &[hit(Some(0.5), 0.0)], &settings(100));
    assert!(quotes[0].text.ends_with("🙂 fail."), "{:?}", quotes[0]);
    assert_eq!(resolve(&quotes[0]), quotes[0].text);
}

#[test]
fn nearness_is_cosine_or_coverage_and_never_the_score() {
    for (cosine, coverage, near) in [
        (Some(0.34), 0.59, false),
        (None, 0.59, false),
        (Some(0.35), 0.0, true),
        (None, 0.6, true),
    ] {
        let quotes = pick("rotate a key", &[hit(cosine, coverage)], &settings(1));
        assert_eq!(!quotes.is_empty(), near, "{cosine:?} {coverage}");
    }
}

#[test]
fn a_question_of_stop_words_alone_is_covered_by_nothing() {
    for (cosine, near) in [(None, false), (Some(0.34), false), (Some(0.35), true)] {
        let quotes = pick("Who are you?", &[hit(cosine, 1.0)], &settings(1));
        assert_eq!(!quotes.is_empty(), near, "{cosine:?}");
    }
}

#[test]
fn the_same_place_is_quoted_once_and_their_number_is_bounded() {
    let twice = [hit(Some(0.9), 1.0), hit(Some(0.8), 1.0)];
    assert_eq!(pick("rotate a key", &twice, &settings(1)).len(), 1);
    let many: Vec<Hit> = (0..9)
        .map(|n| Hit {
            document_id: format!("d{n}"),
            text: format!("To rotate a key number {n}, do this."),
            ..hit(Some(0.9), 1.0)
        })
        .collect();
    let quotes = pick("rotate a key", &many, &settings(1));
    let ids: Vec<&str> = quotes
        .iter()
        .map(|quote| quote.document_id.as_str())
        .collect();
    assert_eq!(ids, ["d0", "d1", "d2"]);
}

#[test]
fn an_endless_sentence_is_cut_at_a_character_and_a_word() {
    let long = Hit {
        text: "größer 🙂 ".repeat(500),
        start: 0,
        ..hit(Some(0.9), 1.0)
    };
    let quotes = pick("größer", &[long], &settings(1));
    assert!(quotes[0].text.len() <= LONGEST && quotes[0].text.len() > LONGEST - 20);
    assert_eq!(quotes[0].end, u64::try_from(quotes[0].text.len()).unwrap());
    let unbroken = Hit {
        text: "字".repeat(1_000),
        ..hit(Some(0.9), 1.0)
    };
    assert!(pick("字", &[unbroken], &settings(1))[0].text.len() <= LONGEST);
    let empty = Hit {
        text: " \n ".to_owned(),
        ..hit(Some(0.9), 1.0)
    };
    assert_eq!(pick("x", &[empty], &settings(1)), []);
}
