//! What may be set, and what may not.

use serde_json::json;
use utoipa::PartialSchema;

use super::*;

#[test]
fn senseless_settings_are_refused_before_they_are_kept() {
    for (settings, field) in [
        (json!({"batch": 1}), "batch"),
        (json!({"batch_tokens": 0}), "batch_tokens"),
        (json!({"max_inputs": 0}), "max_inputs"),
        (json!({"max_input_bytes": 1_u64 << 40}), "max_input_bytes"),
        (json!({"embedding_model": ""}), "embedding_model"),
        (json!({"extract": {"cosine": 1e99}}), "extract.cosine"),
        (json!({"extract": {"coverage": -0.1}}), "extract.coverage"),
        (json!({"extract": {"passages": 0}}), "extract.passages"),
        (json!({"extract": {"passages": 1001}}), "extract.passages"),
        (json!({"extract": {"quotes": 0}}), "extract.quotes"),
        (
            json!({"extract": {"quote_bytes": 801}}),
            "extract.quote_bytes",
        ),
    ] {
        let fault = Settings::check(&settings).unwrap_err();
        assert!(fault.message.contains(field), "{fault}");
    }
    let defaults = serde_json::to_value(Settings::default()).unwrap();
    assert_eq!(Settings::check(&defaults), Ok(()));
}

#[test]
fn an_upstream_is_checked_by_form_and_not_by_the_environment() {
    let check = |upstream: Value| Settings::check(&json!({"upstreams": [upstream]}));
    for wrong in [
        json!({"name": "w", "base_url": "http://h/v1", "api_key_env": "A", "api_key": "b"}),
        json!({"name": "", "base_url": "http://h/v1"}),
    ] {
        let fault = check(wrong).unwrap_err();
        assert!(fault.message.contains("upstream `"), "{fault}");
        assert_eq!(fault.param.as_deref(), Some("upstreams"));
    }
    let unset = json!({"name": "w", "base_url": "http://h/v1", "api_key_env": "BKG_NOT_SET"});
    assert_eq!(check(unset), Ok(()));
}

#[test]
fn an_upstream_that_is_out_of_reach_is_not_saved() {
    let check = |url: &str| {
        let upstream = json!({"name": "w", "base_url": url});
        Settings::check_reach(&json!({"upstreams": [upstream]}), &Reach::default())
    };
    for wrong in [
        "no address",
        "file:///etc/passwd",
        "http://user@host/v1",
        "http://127.0.0.1/v1",
    ] {
        let fault = check(wrong).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Invalid);
        assert!(fault.message.contains("upstream `w`"), "{fault}");
        assert_eq!(fault.param.as_deref(), Some("upstreams"));
    }
    assert_eq!(check("https://api.example.com/v1"), Ok(()));
}

#[test]
fn nothing_is_a_whole_configuration() {
    assert_eq!(
        serde_json::from_str::<Settings>("{}").unwrap(),
        Settings::default()
    );
}

#[test]
fn an_unknown_field_is_named() {
    let error = serde_json::from_str::<Settings>(r#"{"batch_token": 1}"#).unwrap_err();
    assert!(error.to_string().contains("batch_token"), "{error}");
}

#[test]
fn a_key_is_not_shown_by_debug() {
    let text = r#"{"name":"u","base_url":"http://h/v1","api_key":"sk-canary"}"#;
    let upstream: UpstreamSettings = serde_json::from_str(text).unwrap();
    assert!(!format!("{upstream:?}").contains("canary"));
}

/// Every property that has bounds, with a path of names to it.
fn bounded(schema: &Value, path: &[&str], found: &mut Vec<(Vec<String>, Value)>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
        let group = property.get("allOf").map(|parts| &parts[0]);
        bounded(group.unwrap_or(property), &path, found);
        if property.get("maximum").is_some() {
            let path = path.iter().map(|name| (*name).to_owned()).collect();
            found.push((path, property.clone()));
        }
    }
}

#[test]
fn the_schema_knows_the_bounds() {
    let schema = serde_json::to_value(Settings::schema()).unwrap();
    let mut found = Vec::new();
    bounded(&schema, &[], &mut found);
    assert_eq!(found.len(), 10, "{found:?}");
    for (path, property) in found {
        let check = |value: &Value, off: i64| {
            let value = match value.as_i64() {
                Some(whole) => json!(whole + off),
                None => json!(value.as_f64().unwrap() + f64::from(i32::try_from(off).unwrap())),
            };
            let nested = path
                .iter()
                .rev()
                .fold(value, |value, name| json!({ name: value }));
            Settings::check(&nested).is_ok()
        };
        let (least, most) = (&property["minimum"], &property["maximum"]);
        assert!(check(least, 0) && check(most, 0), "{path:?}: {property}");
        assert!(!check(least, -1) && !check(most, 1), "{path:?}: {property}");
    }
    let upstream = &schema["properties"]["upstreams"]["items"];
    assert_eq!(
        upstream["properties"]["api_key"]["writeOnly"], true,
        "{upstream}"
    );
    assert_eq!(
        upstream["required"],
        json!(["name", "base_url"]),
        "{upstream}"
    );
    for silence in [1, 3600] {
        let wanted = &upstream["properties"]["silence_seconds"];
        assert!(
            wanted["minimum"] == 1 && wanted["maximum"] == 3600,
            "{wanted}"
        );
        let upstream = json!({"name": "w", "base_url": "http://h", "silence_seconds": silence});
        assert_eq!(Settings::check(&json!({"upstreams": [upstream]})), Ok(()));
    }
}
