//! What a request may hold, and faults that name what does not.

use messages::{
    brainml::{Document, IndexDocuments, ListDocuments, Query},
    fault::Fault,
};

use crate::filter;

/// Documents a request.
const MOST_DOCUMENTS: usize = 1000;
/// Bytes of a document's text.
const LONGEST_TEXT: usize = 4 << 20;
/// Bytes of a document's title; it is read again with every chunk.
const LONGEST_TITLE: usize = 1 << 10;
/// Bytes of a document's id.
const LONGEST_ID: usize = 512;
/// Bytes of a document's metadata as JSON; it is kept in memory.
const LONGEST_METADATA: usize = 16 << 10;
/// Bytes of a query.
const LONGEST_QUERY: usize = 8 << 10;
/// Results of a query.
const MOST_RESULTS: u32 = 1000;
/// Documents of one part of a list.
const MOST_LISTED: u32 = 1000;

/// Checks a collection's name.
///
/// # Errors
/// Unprocessable, naming the rule.
pub(crate) fn check_name(name: &str) -> Result<(), Fault> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let holds = (1..=64).contains(&name.len())
        && name.starts_with(plain)
        && name.chars().all(|c| plain(c) || c == '-' || c == '_');
    let rule = "a collection's name has 1 to 64 characters of a-z, 0-9, `-` and `_`, and begins with a letter or a digit";
    check(holds, "name", rule)
}

/// Checks documents that are to be indexed.
///
/// # Errors
/// Unprocessable, naming the parameter.
pub(crate) fn check_documents(request: &IndexDocuments) -> Result<(), Fault> {
    let count = request.documents.len();
    let rule = format!("a request indexes 1 to {MOST_DOCUMENTS} documents, not {count}");
    check((1..=MOST_DOCUMENTS).contains(&count), "documents", rule)?;
    let mut documents = request.documents.iter().enumerate();
    documents.try_for_each(|(at, document)| check_document(at, document))
}

fn check_document(at: usize, document: &Document) -> Result<(), Fault> {
    let title = document.title.as_ref().map_or(0, String::len);
    let metadata = serde_json::to_string(&document.metadata).map_or(0, |json| json.len());
    let most = [
        ("id", document.id.len(), LONGEST_ID),
        ("title", title, LONGEST_TITLE),
        ("text", document.text.len(), LONGEST_TEXT),
        ("metadata", metadata, LONGEST_METADATA),
    ];
    for (field, length, most) in most {
        let rule = format!("documents[{at}].{field} has {length} bytes; {most} are allowed");
        check(length <= most, &format!("documents[{at}].{field}"), rule)?;
    }
    let param = format!("documents[{at}].id");
    check(
        !document.id.is_empty(),
        &param,
        format!("{param} must not be empty"),
    )
}

/// Checks a query.
///
/// # Errors
/// Unprocessable, naming the parameter.
pub(crate) fn check_query(query: &Query) -> Result<(), Fault> {
    let length = query.query.len();
    check(
        !query.query.trim().is_empty(),
        "query",
        "the query must not be empty",
    )?;
    let rule = format!("the query has {length} bytes; {LONGEST_QUERY} are allowed");
    check(length <= LONGEST_QUERY, "query", rule)?;
    let rule = format!("top_k must be 1 to {MOST_RESULTS}, not {}", query.top_k);
    check((1..=MOST_RESULTS).contains(&query.top_k), "top_k", rule)?;
    query.filter.as_ref().map_or(Ok(()), filter::check)
}

/// Checks what part of a list of documents is asked for; answers how many.
///
/// # Errors
/// Unprocessable, naming the parameter.
pub(crate) fn check_listed(request: &ListDocuments) -> Result<usize, Fault> {
    let limit = request.limit;
    let rule = format!("limit must be 1 to {MOST_LISTED}, not {limit}");
    check((1..=MOST_LISTED).contains(&limit), "limit", rule)?;
    let length = request.query.as_ref().map_or(0, String::len);
    let rule = format!("the query has {length} bytes; {LONGEST_ID} are allowed");
    check(length <= LONGEST_ID, "query", rule)?;
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

fn check(holds: bool, param: &str, rule: impl Into<String>) -> Result<(), Fault> {
    if holds {
        Ok(())
    } else {
        Err(Fault::unprocessable(rule).with_param(param))
    }
}

#[cfg(test)]
mod tests {
    use messages::fault::FaultKind;

    use super::*;

    #[test]
    fn names_follow_the_rule() {
        for good in ["a", "bkg", "my-docs_2", &"x".repeat(64)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "-a", "_a", "a b", "a/b", "ä", &"x".repeat(65)] {
            assert_eq!(
                check_name(bad).unwrap_err().param.as_deref(),
                Some("name"),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_fault_names_the_document_and_its_field() {
        let good = Document {
            id: "1".into(),
            ..Document::default()
        };
        let long = Document {
            title: Some("x".repeat(2000)),
            ..good.clone()
        };
        let request = |documents| IndexDocuments {
            collection: "c".into(),
            documents,
        };
        assert!(check_documents(&request(vec![good.clone()])).is_ok());
        let param = |documents| check_documents(&request(documents)).unwrap_err().param;
        assert_eq!(
            param(vec![good.clone(), long]).as_deref(),
            Some("documents[1].title")
        );
        assert_eq!(
            param(vec![Document::default()]).as_deref(),
            Some("documents[0].id")
        );
        assert_eq!(param(vec![]).as_deref(), Some("documents"));
        assert_eq!(param(vec![good; 1001]).as_deref(), Some("documents"));
    }

    #[test]
    fn what_is_well_formed_but_wrong_is_unprocessable() {
        let kind = check_query(&Query::default()).unwrap_err().kind;
        assert_eq!(kind, FaultKind::Unprocessable);
        assert_eq!(check_name("").unwrap_err().kind, FaultKind::Unprocessable);
    }

    #[test]
    fn queries_have_bounds() {
        let query = |query: &str, top_k| Query {
            query: query.into(),
            top_k,
            ..Query::default()
        };
        assert!(check_query(&query("x", 1000)).is_ok());
        let param = |query| check_query(&query).unwrap_err().param;
        assert_eq!(param(query(" ", 1)).as_deref(), Some("query"));
        assert_eq!(param(query(&"x".repeat(8193), 1)).as_deref(), Some("query"));
        assert_eq!(param(query("x", 0)).as_deref(), Some("top_k"));
        assert_eq!(param(query("x", 1001)).as_deref(), Some("top_k"));
    }
}
