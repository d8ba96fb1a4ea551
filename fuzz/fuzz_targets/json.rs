//! The judge of JSON bodies: what it lets through, `serde_json` reads, in one way only; and what
//! `serde_json` writes, it lets through.
#![no_main]

use fuzz::same;
use libfuzzer_sys::fuzz_target;
use messages::json::{Flaw, MOST_DEEP, check};
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let read = serde_json::from_slice::<Value>(bytes);
    match check(bytes) {
        Ok(()) => {
            let value = read.expect("what is let through is JSON");
            assert!(depth(&value) <= MOST_DEEP);
            let written = serde_json::to_vec(&value).unwrap();
            assert_eq!(check(&written), Ok(()));
            let again: Value = serde_json::from_slice(&written).unwrap();
            assert!(same(&value, &again), "{value} {again}");
        }
        Err(error) => {
            let lines = bytes.split(|byte| *byte == b'\n').count();
            assert!((1..=lines).contains(&error.line), "{error}");
            assert!((1..=bytes.len() + 1).contains(&error.column), "{error}");
            // The one thing that it refuses and serde_json reads: a name that comes twice.
            assert!(
                read.is_err() || matches!(error.flaw, Flaw::Twice(_)),
                "{error}"
            );
        }
    }
});

fn depth(value: &Value) -> u32 {
    let inner = match value {
        Value::Array(items) => items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => fields.values().map(depth).max().unwrap_or(0),
        _ => return 0,
    };
    inner + 1
}
