//! The answer's text and its citations.

use serde_json::{Value, json};

use super::pick::Quote;

const NOTHING: &str = "I found nothing in the indexed documents that answers this. \
    I only quote what is indexed: try other words, name the collections to search, or index \
    documents about it.";

/// An answer that is ready to be told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// What the reader sees: quotes, word for word, between quotation marks, each with its number.
    pub(crate) text: String,
    /// One `file_citation` a quote, in their order; its `start..end` are bytes of the document's
    /// text.
    pub(crate) annotations: Vec<Value>,
    /// Whether the whole answer is there.
    pub(crate) complete: bool,
    /// Where each quote ends in `text`.
    ends: Vec<usize>,
}

impl Answer {
    /// An answer made of `quotes`; without any, one that says that nothing fits.
    pub(crate) fn of(quotes: &[Quote]) -> Self {
        let mut answer = Self {
            text: NOTHING.to_owned(),
            annotations: quotes.iter().map(citation).collect(),
            complete: true,
            ends: Vec::with_capacity(quotes.len()),
        };
        if quotes.is_empty() {
            return answer;
        }
        answer.text = "From the indexed documents:\n".to_owned();
        for (quote, number) in quotes.iter().zip(1..) {
            answer.text += &format!("\n“{}” [{number}]\n", quote.text);
            answer.ends.push(answer.text.len());
        }
        answer.text += "\nSources:";
        for (quote, number) in quotes.iter().zip(1..) {
            answer.text += &format!("\n[{number}] {}", source(quote));
        }
        answer
    }

    /// The answer as far as `most` tokens reach, cut between words. Quotes that are cut away lose
    /// their citation too.
    pub(crate) fn within(mut self, most: u64, count: impl Fn(&str) -> u64) -> Self {
        let ends: Vec<usize> = pieces(&self.text)
            .scan(0, |end, piece| {
                *end += piece.len();
                Some(*end)
            })
            .collect();
        let fits = |end: &usize| {
            self.text
                .get(..*end)
                .is_some_and(|text| count(text) <= most)
        };
        let kept = ends.partition_point(fits);
        let end = kept.checked_sub(1).and_then(|last| ends.get(last).copied());
        let end = end.unwrap_or_default();
        self.complete = end == self.text.len();
        self.text.truncate(end);
        let quotes = self.ends.iter().filter(|quote| **quote <= end).count();
        self.annotations.truncate(quotes);
        self
    }

    /// The text in pieces for a stream: one word each, with the white space after it.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &str> {
        pieces(&self.text)
    }
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(char::is_whitespace)
}

fn source(quote: &Quote) -> String {
    let place = format!("{}/{}", quote.collection, quote.document_id);
    match quote.title.as_deref().filter(|title| !title.is_empty()) {
        Some(title) => format!("{title} ({place})"),
        None => place,
    }
}

fn citation(quote: &Quote) -> Value {
    json!({
        "type": "file_citation",
        "file_citation": {
            "document_id": quote.document_id,
            "collection": quote.collection,
            "start": quote.start,
            "end": quote.end,
            "title": quote.title,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quote(text: &str) -> Quote {
        Quote {
            collection: "c".to_owned(),
            document_id: "d".to_owned(),
            title: Some("T".to_owned()),
            start: 3,
            end: 3 + u64::try_from(text.len()).unwrap(),
            text: text.to_owned(),
        }
    }

    fn words(text: &str) -> u64 {
        u64::try_from(text.split_whitespace().count()).unwrap()
    }

    #[test]
    fn quotes_are_word_for_word_and_numbered() {
        let answer = Answer::of(&[quote("One.\nTwo."), quote("Three.")]);
        assert!(answer.text.contains("“One.\nTwo.” [1]"), "{}", answer.text);
        assert!(answer.text.contains("“Three.” [2]"));
        assert!(answer.text.ends_with("[1] T (c/d)\n[2] T (c/d)"));
        assert_eq!(answer.annotations.len(), 2);
        assert_eq!(answer.annotations[0]["file_citation"]["end"], 12);
    }

    #[test]
    fn without_quotes_it_says_so_and_cites_nothing() {
        let answer = Answer::of(&[]);
        assert!(answer.text.contains("found nothing"));
        assert_eq!(answer.annotations, Vec::<Value>::new());
    }

    #[test]
    fn a_limit_cuts_between_words_and_takes_citations_with_it() {
        let whole = Answer::of(&[quote("One."), quote("Two three four.")]);
        assert_eq!(whole.clone().within(1_000, words), whole);
        let cut = whole.clone().within(7, words);
        assert_eq!(words(&cut.text), 7);
        assert!(!cut.complete);
        assert_eq!(cut.annotations, whole.annotations[..1]);
        assert_eq!(whole.within(0, words).text, "");
    }

    #[test]
    fn pieces_are_the_text() {
        let answer = Answer::of(&[quote("Ünïcödé  and 🙂 text.")]);
        assert!(answer.pieces().count() > 5);
        assert_eq!(answer.pieces().collect::<String>(), answer.text);
    }
}
