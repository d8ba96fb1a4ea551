//! What passes, what does not, and where it is said to be wrong.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn flaw(text: &str) -> Flaw {
    check(text.as_bytes()).unwrap_err().flaw
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[test]
fn what_is_json_passes() {
    for text in [
        "{}",
        "[]",
        "null",
        " true ",
        "-0",
        "1.5e-3",
        "0e999",
        "1e-999",
        "\"\"",
        r#"{"a":{"a":[{"a":1},{"a":2}]},"b":"\"\\\/\b\f\n\r\t\u0000"}"#,
        r#"["😀","\ud83d\ude00","日本語 and a longer plain text"]"#,
        "\t{ \"a\" : [ 1 , 2 ] }\r\n",
    ] {
        assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
        assert!(serde_json::from_str::<Value>(text).is_ok(), "{text}");
    }
}

#[test]
fn what_is_no_json_does_not() {
    for text in [
        "",
        " ",
        "{",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "[1 2]",
        "{\"a\" 1}",
        "[}",
        "{]",
        "[1}",
        "{\"a\":1]",
        "tru",
        "nul",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "NaN",
        "Infinity",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "\"\u{0}\"",
        "1 2",
        "{}{}",
        "\u{feff}{}",
        "// a\n1",
        "[1,,2]",
        ",",
    ] {
        assert!(matches!(flaw(text), Flaw::Syntax(_)), "{text}");
        assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_place() {
    let refused = check(b"{\n\"a\":\"\xff\"}").unwrap_err();
    assert_eq!(refused.flaw, Flaw::NotUtf8);
    assert_eq!((refused.line, refused.column), (2, 6));
    // A surrogate, an overlong slash and a cut letter.
    for bytes in [&b"\"\xed\xa0\x80\""[..], b"\"\xc0\xaf\"", b"\"\xe2\x82\""] {
        assert_eq!(check(bytes).unwrap_err().flaw, Flaw::NotUtf8);
    }
}

#[test]
fn nesting_ends_somewhere() {
    assert_eq!(check(nested(127).as_bytes()), Ok(()));
    assert!(serde_json::from_str::<Value>(&nested(127)).is_ok());
    assert_eq!(flaw(&nested(128)), Flaw::TooDeep);
    assert_eq!(flaw(&"[".repeat(1_000_000)), Flaw::TooDeep);
    assert_eq!(flaw(&"{\"a\":".repeat(1_000_000)), Flaw::TooDeep);
}

#[test]
fn a_name_that_comes_twice_is_found_at_any_depth_and_in_any_spelling() {
    let twice = |name: &str| Flaw::Twice(name.to_owned());
    assert_eq!(flaw(r#"{"a":1,"a":1}"#), twice("a"));
    assert_eq!(
        flaw(r#"{"a":1,"b":{"c":[{"d":1,"a":2,"d":3}]}}"#),
        twice("d")
    );
    assert_eq!(flaw(r#"{"a":{"b":1},"b":{},"a":1}"#), twice("a"));
    assert_eq!(flaw(r#"{"model":1,"mo\u0064el":2}"#), twice("model"));
    assert_eq!(flaw(r#"{"":1,"":2}"#), twice(""));
    let refused = check(b"{\"a\":1,\n \"a\":2}").unwrap_err();
    assert_eq!((refused.line, refused.column), (2, 2));
}

#[test]
fn a_large_object_is_judged_in_the_time_of_a_large_object() {
    let names = |last: &str| {
        let names: String = (0..200_000)
            .map(|n| format!("\"{n}\":{{\"7\":[]}},"))
            .collect();
        format!("{{{names}\"{last}\":0}}")
    };
    assert_eq!(check(names("end").as_bytes()), Ok(()));
    assert_eq!(flaw(&names("7")), Flaw::Twice("7".to_owned()));
    assert_eq!(flaw(&names("199999")), Flaw::Twice("199999".to_owned()));
}

#[test]
fn a_long_name_is_not_told_whole() {
    let name = "é".repeat(10_000);
    let text = flaw(&format!("{{\"{name}\":1,\"{name}\":2}}")).to_string();
    assert!(text.len() < 300 && text.contains('…'), "{text}");
}

#[test]
fn numbers_that_overflow_are_refused() {
    let digits = "9".repeat(400);
    for text in [
        "1e999",
        "-1e999",
        "[1,2e400]",
        "0.1e99999999999999999999",
        &digits,
    ] {
        assert_eq!(flaw(text), Flaw::Overflow, "{text}");
    }
    assert_eq!(check("9".repeat(300).as_bytes()), Ok(()));
}

#[test]
fn halves_of_surrogate_pairs_are_refused() {
    for text in [
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud800\ud800""#,
        r#""\ud800x""#,
        r#""\ud800\n""#,
        r#""\udc00\ud800""#,
        r#"{"\uDBFF":1}"#,
    ] {
        assert_eq!(flaw(text), Flaw::LoneSurrogate, "{text}");
    }
}

/// Texts that are nearly JSON, so that the scan is led far in.
fn nearly_json() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"b\"",
        "\"\\u0061\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "1",
        "-0.5",
        "1e999",
        "1e9",
        "01",
        "true",
        "null",
        " ",
        "\n",
        "\"",
        "\\",
        "é",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_passes_is_what_serde_reads(text in nearly_json()) {
        let read = serde_json::from_str::<Value>(&text).is_ok();
        match check(text.as_bytes()) {
            Ok(()) => prop_assert!(read),
            Err(JsonError { flaw: Flaw::Twice(_), .. }) => (),
            Err(error) => prop_assert!(!read, "{}", error),
        }
    }

    #[test]
    fn bytes_of_any_kind_are_judged(bytes: Vec<u8>) {
        let judged = check(&bytes).is_ok();
        prop_assert_eq!(judged, serde_json::from_slice::<Value>(&bytes).is_ok());
    }

    #[test]
    fn every_string_that_serde_writes_passes(text: String) {
        let written = serde_json::to_vec(&[&text]).unwrap();
        prop_assert_eq!(check(&written), Ok(()));
    }
}
