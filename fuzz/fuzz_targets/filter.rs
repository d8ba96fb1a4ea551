//! Filters over metadata: `ne` and `nin` are the opposites of `eq` and `in`, the connectives are
//! what they are called, and what is read is written as it was.
#![no_main]

#[path = "../../plugins/brainml/src/filter.rs"]
mod filter;

use fuzz::same;
use libfuzzer_sys::fuzz_target;
use messages::brainml::Filter;
use serde_json::{Map, Value};

fuzz_target!(|text: &str| {
    let (first, second) = text.split_once('\n').unwrap_or((text, "{}"));
    let Ok(condition) = serde_json::from_str::<Filter>(first) else {
        return;
    };
    let written = serde_json::to_string(&condition).unwrap();
    let again: Filter = serde_json::from_str(&written).unwrap();
    let [read, again] = [&condition, &again].map(|one| serde_json::to_value(one).unwrap());
    assert!(same(&read, &again), "{read} {again}");
    if filter::check(&condition).is_err() {
        return;
    }
    let metadata: Map<String, Value> = serde_json::from_str(second).unwrap_or_default();
    let holds = filter::holds(&condition, &metadata);
    let both = vec![condition.clone(), condition.clone()];
    assert_eq!(
        filter::holds(
            &Filter::And {
                filters: both.clone()
            },
            &metadata
        ),
        holds
    );
    assert_eq!(
        filter::holds(&Filter::Or { filters: both }, &metadata),
        holds
    );
    let opposite = match condition {
        Filter::Eq(comparison) => Filter::Ne(comparison),
        Filter::Ne(comparison) => Filter::Eq(comparison),
        Filter::In(comparison) => Filter::Nin(comparison),
        Filter::Nin(comparison) => Filter::In(comparison),
        _ => return,
    };
    assert_ne!(filter::holds(&opposite, &metadata), holds);
});
