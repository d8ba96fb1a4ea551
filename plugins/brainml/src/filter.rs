//! Which documents count: OpenAI's vector-store filters over metadata.
//!
//! A key that a document lacks satisfies `ne` and `nin` and nothing else. Strings are ordered by
//! their code points, numbers by value; values of different types are unequal and unordered.

use std::cmp::Ordering;

use messages::{
    brainml::{Comparison, Filter},
    fault::Fault,
};
use serde_json::{Map, Value};

/// Conditions and values of a filter: each is looked at for every document.
const MOST_CONDITIONS: usize = 1000;
/// Levels of `and` and `or` inside each other.
const DEEPEST: usize = 16;

/// Refuses filters that are too large, or compare with something that cannot be compared.
///
/// # Errors
/// Unprocessable, naming the limit or the key.
pub(crate) fn check(filter: &Filter) -> Result<(), Fault> {
    let (size, depth) = measure(filter, DEEPEST);
    if size > MOST_CONDITIONS || depth > DEEPEST {
        let rule = format!(
            "a filter has at most {MOST_CONDITIONS} conditions and values in {DEEPEST} levels"
        );
        return Err(Fault::unprocessable(rule).with_param("filter"));
    }
    check_comparisons(filter)
}

/// How many conditions and listed values a filter has, and how many levels; looks no deeper than
/// one level below those that are allowed.
fn measure(filter: &Filter, levels: usize) -> (usize, usize) {
    match filter {
        Filter::And { filters } | Filter::Or { filters } if levels > 0 => {
            let inner = filters.iter().map(|filter| measure(filter, levels - 1));
            let (size, depth) = inner.fold((0, 0), |all, one| (all.0 + one.0, all.1.max(one.1)));
            (size + 1, depth + 1)
        }
        Filter::In(comparison) | Filter::Nin(comparison) => {
            (1 + comparison.value.as_array().map_or(0, Vec::len), 1)
        }
        _ => (1, 1),
    }
}

fn check_comparisons(filter: &Filter) -> Result<(), Fault> {
    match filter {
        Filter::And { filters } | Filter::Or { filters } => {
            filters.iter().try_for_each(check_comparisons)
        }
        Filter::In(comparison) | Filter::Nin(comparison) => {
            let list = comparison.value.as_array();
            let plain = list.is_some_and(|values| values.iter().all(is_plain));
            expect(plain, comparison, "a list of strings, numbers and booleans")
        }
        Filter::Gt(comparison)
        | Filter::Gte(comparison)
        | Filter::Lt(comparison)
        | Filter::Lte(comparison) => {
            let ordered = comparison.value.is_number() || comparison.value.is_string();
            expect(ordered, comparison, "a number or a string")
        }
        Filter::Eq(comparison) | Filter::Ne(comparison) => expect(
            is_plain(&comparison.value),
            comparison,
            "a string, a number or a boolean",
        ),
    }
}

fn is_plain(value: &Value) -> bool {
    value.is_string() || value.is_number() || value.is_boolean()
}

fn expect(holds: bool, comparison: &Comparison, what: &str) -> Result<(), Fault> {
    if holds {
        return Ok(());
    }
    let key = &comparison.key;
    Err(
        Fault::unprocessable(format!("the filter on `{key}` must compare with {what}"))
            .with_param("filter"),
    )
}

/// Whether a document with this metadata counts.
pub(crate) fn holds(filter: &Filter, metadata: &Map<String, Value>) -> bool {
    let order = |comparison: &Comparison| {
        metadata
            .get(&comparison.key)
            .and_then(|value| compare(value, &comparison.value))
    };
    match filter {
        Filter::And { filters } => filters.iter().all(|filter| holds(filter, metadata)),
        Filter::Or { filters } => filters.iter().any(|filter| holds(filter, metadata)),
        Filter::Eq(comparison) => order(comparison).is_some_and(Ordering::is_eq),
        Filter::Ne(comparison) => !order(comparison).is_some_and(Ordering::is_eq),
        Filter::Gt(comparison) => order(comparison).is_some_and(Ordering::is_gt),
        Filter::Gte(comparison) => order(comparison).is_some_and(Ordering::is_ge),
        Filter::Lt(comparison) => order(comparison).is_some_and(Ordering::is_lt),
        Filter::Lte(comparison) => order(comparison).is_some_and(Ordering::is_le),
        Filter::In(comparison) => is_listed(comparison, metadata),
        Filter::Nin(comparison) => !is_listed(comparison, metadata),
    }
}

fn is_listed(comparison: &Comparison, metadata: &Map<String, Value>) -> bool {
    let value = metadata.get(&comparison.key);
    let mut list = comparison.value.as_array().into_iter().flatten();
    value
        .is_some_and(|value| list.any(|listed| compare(value, listed).is_some_and(Ordering::is_eq)))
}

fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filter(json: Value) -> Filter {
        serde_json::from_value(json).unwrap()
    }

    fn test(json: Value) -> bool {
        let metadata = json!({"year": 1960, "lang": "en", "draft": false, "score": 0.5});
        holds(&filter(json), metadata.as_object().unwrap())
    }

    #[test]
    fn comparisons_follow_their_types() {
        assert!(test(json!({"type": "eq", "key": "year", "value": 1960.0})));
        assert!(test(json!({"type": "gte", "key": "year", "value": 1960})));
        assert!(!test(json!({"type": "gt", "key": "year", "value": 1960})));
        assert!(test(json!({"type": "lt", "key": "score", "value": 1})));
        assert!(test(json!({"type": "lte", "key": "lang", "value": "en"})));
        assert!(test(json!({"type": "eq", "key": "draft", "value": false})));
        assert!(!test(json!({"type": "gt", "key": "lang", "value": 3})));
    }

    #[test]
    fn an_absent_key_satisfies_negations_alone() {
        assert!(test(json!({"type": "ne", "key": "none", "value": 1})));
        assert!(test(json!({"type": "nin", "key": "none", "value": [1]})));
        for kind in ["eq", "gt", "gte", "lt", "lte"] {
            assert!(
                !test(json!({"type": kind, "key": "none", "value": 1})),
                "{kind}"
            );
        }
        assert!(!test(json!({"type": "in", "key": "none", "value": [1]})));
    }

    #[test]
    fn lists_and_connectives() {
        assert!(test(
            json!({"type": "in", "key": "lang", "value": ["de", "en"]})
        ));
        assert!(!test(
            json!({"type": "nin", "key": "lang", "value": ["de", "en"]})
        ));
        let old = json!({"type": "lt", "key": "year", "value": 1950});
        let english = json!({"type": "eq", "key": "lang", "value": "en"});
        assert!(!test(json!({"type": "and", "filters": [old, english]})));
        assert!(test(json!({"type": "or", "filters": [old, english]})));
    }

    #[test]
    fn filters_have_bounds() {
        let list = |length: usize| json!({"type": "in", "key": "k", "value": vec![1; length]});
        assert!(check(&filter(list(999))).is_ok());
        let many = check(&filter(list(1000))).unwrap_err();
        assert!(many.message.contains("1000"), "{many}");
        let nested = |levels| {
            let inner = json!({"type": "eq", "key": "k", "value": 1});
            (0..levels).fold(inner, |inner, _| json!({"type": "or", "filters": [inner]}))
        };
        assert!(check(&filter(nested(15))).is_ok());
        assert!(check(&filter(nested(16))).is_err());
        assert!(check(&filter(nested(40))).is_err());
    }

    #[test]
    fn senseless_comparisons_are_refused_with_their_key() {
        for bad in [
            json!({"type": "in", "key": "lang", "value": "en"}),
            json!({"type": "gt", "key": "lang", "value": true}),
            json!({"type": "or", "filters": [{"type": "eq", "key": "lang", "value": null}]}),
        ] {
            let fault = check(&filter(bad)).unwrap_err();
            assert!(fault.message.contains("`lang`"));
            assert_eq!(fault.param.as_deref(), Some("filter"));
        }
    }
}
