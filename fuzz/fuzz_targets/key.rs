//! Keys: whatever is taken for one is exactly what would have been made of its digits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use messages::apikeys::secret::{KEY_DIGITS, KEY_PREFIX, is_key, key_from};

fuzz_target!(|text: &str| {
    if is_key(text) {
        let digits = text.strip_prefix(KEY_PREFIX).unwrap();
        assert_eq!(key_from(&digits[..KEY_DIGITS]), text);
    }
    let digits: String = text
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(KEY_DIGITS)
        .collect();
    let key = key_from(&digits);
    assert_eq!(is_key(&key), digits.len() == KEY_DIGITS, "{key}");
    assert!(!is_key(&format!("{key}0")) && !is_key(&key[1..]));
});
