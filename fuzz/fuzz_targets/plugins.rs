//! `plugins.json`: whatever is read is an object with plugins, and whatever is refused is told with
//! a place in the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use supervisor::Baseline;

fuzz_target!(|text: &str| {
    match Baseline::parse("plugins.json", text) {
        Ok(_) => {
            let value: Value = serde_json::from_str(text).expect("what is read is JSON");
            assert!(value["plugins"].is_object());
        }
        Err(error) => {
            assert!(error.line <= text.split('\n').count(), "{error}");
            assert!(error.column <= text.len() + 1, "{error}");
            assert!(
                error.to_string().starts_with("plugins.json, line "),
                "{error}"
            );
        }
    }
});
