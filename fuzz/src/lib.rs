//! What the targets share.

use serde_json::Value;

/// Whether two values are the same but for the last bit of a number: `serde_json` reads decimals
/// fast rather than exactly, unless it is built to do otherwise.
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) if left.is_f64() || right.is_f64() => {
            let [left, right] = [left, right].map(|number| number.as_f64().unwrap_or(f64::NAN));
            (left - right).abs() <= left.abs() * 4.0 * f64::EPSILON + f64::MIN_POSITIVE
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(a, b)| same(a, b))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, a)| right.get(key).is_some_and(|b| same(a, b)))
        }
        (left, right) => left == right,
    }
}
