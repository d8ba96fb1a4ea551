//! What is taken for a `traceparent`, and what spans tell.

use std::sync::Mutex;

use super::*;

const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Span>>);

impl Recorder for Kept {
    fn record(&self, span: Span) {
        self.0.lock().unwrap().push(span);
    }
}

#[test]
fn a_traceparent_is_read_and_written_as_w3c_has_it() {
    let parent: Parent = GOOD.parse().unwrap();
    assert_eq!(parent.to_string(), GOOD);
    assert!(parent.sampled);
    let unsampled: Parent = GOOD.replace("-01", "-00").parse().unwrap();
    assert!(!unsampled.sampled);
    // What a later version says after it is nobody's business.
    let later: Parent = format!("{}-what", GOOD.replacen("00", "01", 1))
        .parse()
        .unwrap();
    assert_eq!(later, parent);
}

#[test]
fn what_is_no_traceparent_is_not_taken_for_one() {
    for bad in [
        "",
        "00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902bé-01",
    ] {
        assert!(bad.parse::<Parent>().is_err(), "{bad}");
    }
}

#[test]
fn spans_name_their_parents_and_the_first_error_stays() {
    let kept = Arc::new(Kept::default());
    let parent: Parent = GOOD.parse().unwrap();
    let root = Trace::begin(parent.trace, Some(parent.span), true, kept.clone());
    root.rename("GET /x");
    let below = root
        .trace()
        .unwrap()
        .open(SpanKind::Client, "chat m", Some("p".into()));
    below.set("a", 1);
    below.set("a", 2);
    below.fail("first");
    below.fail("second");
    let sent = below.trace().unwrap().parent();
    assert_eq!(sent.trace, parent.trace);
    drop(below);
    drop(root);
    let spans = kept.0.lock().unwrap();
    let [below, root] = &spans[..] else {
        panic!("{spans:?}")
    };
    assert_eq!((root.parent, &*root.name), (Some(parent.span), "GET /x"));
    assert_eq!((below.parent, below.id), (Some(root.id), sent.span));
    assert_eq!(below.error.as_deref(), Some("first"));
    assert_eq!(below.attributes, [("a", Attribute::Number(2))]);
    assert!(root.started <= below.started && below.ended <= root.ended);
}

#[test]
fn a_trace_that_nobody_takes_still_has_its_id_below() {
    let parent: Parent = GOOD.parse().unwrap();
    let trace = Trace::unrecorded(parent.trace, parent.span, parent.sampled);
    let below = trace.open(SpanKind::Internal, "x", None);
    below.set("a", 1);
    assert!(!below.is_taken());
    assert_eq!(below.trace().unwrap().parent(), parent);
}

#[test]
fn ids_spread_evenly_over_their_range() {
    let below = (0..2000)
        .filter(|_| TraceId::random().place() < 0.5)
        .count();
    assert!((800..1200).contains(&below), "{below}");
}
