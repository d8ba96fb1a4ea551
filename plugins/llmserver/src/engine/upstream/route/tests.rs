//! Attempts again and elsewhere, without any network.

use std::{cell::RefCell, collections::HashMap};

use messages::{call::Origin, fault::FaultKind, upstreams::UpstreamBoard};
use serde_json::json;

use super::*;
use crate::{
    engine::upstream::{Upstreams, breaker::Health},
    testing::{cx, host, near},
};

/// A route over upstreams with these names and weights.
fn route(upstreams: &[(&str, u32)]) -> Route {
    let settings: Vec<_> = upstreams
        .iter()
        .map(|(name, weight)| {
            let url = format!("http://{name}.example/v1");
            let one = json!({"name": name, "base_url": url, "models": ["big"], "weight": weight});
            serde_json::from_value(one).unwrap()
        })
        .collect();
    let all = Upstreams::new(&host(), &settings, &near(), &UpstreamBoard::default());
    all.chat("big").unwrap().unwrap()
}

/// Asks `route`; each upstream answers as `says`, and the names of those asked are told.
async fn ask(
    route: &Route,
    cx: &Cx,
    says: impl Fn(&str, usize) -> Result<(), Setback>,
) -> (Result<String, Fault>, Vec<String>) {
    let asked = RefCell::new(Vec::new());
    let done = route.first_that(cx, async |upstream: &Upstream| {
        asked.borrow_mut().push(upstream.name().to_owned());
        let before = asked.borrow().len();
        says(upstream.name(), before).map(|()| upstream.name().to_owned())
    });
    (done.await, asked.into_inner())
}

fn again() -> Setback {
    Setback::failing(Fault::crashed("broke"), Next::Again)
}

fn elsewhere() -> Setback {
    Setback::failing(Fault::crashed("broke"), Next::Elsewhere)
}

#[tokio::test]
async fn what_may_pass_is_tried_thrice_and_then_told() {
    let (done, asked) = ask(&route(&[("a", 1)]), &cx(), |_, _| Err(again())).await;
    assert_eq!(asked.len(), 3);
    assert_eq!(done.unwrap_err().message, "broke");
    let third = |_: &str, count| if count == 3 { Ok(()) } else { Err(again()) };
    let (done, asked) = ask(&route(&[("a", 1)]), &cx(), third).await;
    assert_eq!((done.unwrap().as_str(), asked.len()), ("a", 3));
}

#[tokio::test]
async fn what_cannot_pass_is_told_at_once() {
    let refuse = |_: &str, _| {
        Err(Setback {
            fault: Fault::invalid("no"),
            next: Next::Nothing,
            health: Health::Alive,
        })
    };
    let (done, asked) = ask(&route(&[("a", 1), ("b", 1)]), &cx(), refuse).await;
    assert_eq!(
        (done.unwrap_err().kind, asked.len()),
        (FaultKind::Invalid, 1)
    );
}

#[tokio::test]
async fn another_upstream_is_asked_before_the_same_one_again() {
    let one_of = route(&[("a", 1), ("b", 1), ("c", 0)]);
    let only_c = |name: &str, _| match name {
        "c" => Ok(()),
        "a" => Err(again()),
        _ => Err(elsewhere()),
    };
    let (done, mut asked) = ask(&one_of, &cx(), only_c).await;
    assert_eq!(
        (done.unwrap().as_str(), asked.pop()),
        ("c", Some("c".to_owned()))
    );
    asked.sort();
    assert_eq!(asked, ["a", "b"], "the spare one comes last");
}

#[tokio::test]
async fn no_attempt_is_made_beyond_the_calls_deadline() {
    let slow = |_: &str, _| {
        let fault = Fault::overloaded("later").with_retry_after(Duration::from_secs(4));
        Err(Setback::failing(fault, Next::Again))
    };
    let soon = Instant::now() + Duration::from_secs(3);
    let cx = Cx::new(Origin::internal("test"), soon, None);
    let (done, asked) = ask(&route(&[("a", 1)]), &cx, slow).await;
    let fault = done.unwrap_err();
    assert_eq!((asked.len(), fault.kind), (1, FaultKind::Overloaded));
    assert_eq!(fault.retry_after, Some(Duration::from_secs(4)));
    assert!(Instant::now() < soon, "nothing was waited for");
}

#[tokio::test]
async fn a_wait_that_one_upstream_wants_holds_up_no_attempt_at_another() {
    let never = || Fault::overloaded("later").with_retry_after(Duration::MAX);
    let says = |name: &str, count| match (name, count) {
        (_, 3) => Ok(()),
        ("a", _) => Err(again()),
        _ => Err(Setback::failing(never(), Next::Elsewhere)),
    };
    let (done, asked) = ask(&route(&[("a", 1), ("b", 0)]), &cx(), says).await;
    assert_eq!((done.unwrap().as_str(), asked.len()), ("a", 3));

    let says = |_: &str, count| match count {
        2 => Ok(()),
        _ => Err(Setback::failing(never(), Next::Again)),
    };
    let (done, _) = ask(&route(&[("a", 1)]), &cx(), says).await;
    assert_eq!(done.unwrap(), "a");
}

#[tokio::test]
async fn a_call_that_fails_thrice_counts_as_one_failure() {
    let alone = route(&[("a", 1)]);
    let from = Instant::now() + Duration::from_secs(60);
    for _ in 0..2 {
        let cx = Cx::new(Origin::internal("test"), from, None);
        let (_, asked) = ask(&alone, &cx, |_, _| Err(again())).await;
        assert_eq!(asked.len(), 3);
    }
    let (done, _) = ask(&alone, &cx(), |_, _| Ok(())).await;
    assert!(done.is_ok(), "two calls are not five failures: {done:?}");
}

#[tokio::test]
async fn an_upstream_that_fails_five_times_is_left_alone_and_others_take_its_calls() {
    let alone = route(&[("a", 1)]);
    for _ in 0..5 {
        assert_eq!(ask(&alone, &cx(), |_, _| Err(elsewhere())).await.1.len(), 1);
    }
    let (done, asked) = ask(&alone, &cx(), |_, _| Ok(())).await;
    let fault = done.unwrap_err();
    assert_eq!((asked.len(), fault.kind), (0, FaultKind::Overloaded));
    assert!(
        fault
            .retry_after
            .is_some_and(|wait| wait > Duration::from_secs(3))
    );

    let both = route(&[("a", 1_000_000), ("b", 0)]);
    let a_fails = |name: &str, _| {
        if name == "a" {
            Err(elsewhere())
        } else {
            Ok(())
        }
    };
    for _ in 0..5 {
        assert_eq!(ask(&both, &cx(), a_fails).await.1, ["a", "b"]);
    }
    assert_eq!(ask(&both, &cx(), a_fails).await.1, ["b"]);
}

#[tokio::test]
async fn a_call_that_is_cancelled_stops_trying() {
    let cx = cx();
    let leave = |_: &str, _| {
        cx.cancel().cancel();
        Err(again())
    };
    let (done, asked) = ask(&route(&[("a", 1)]), &cx, leave).await;
    assert_eq!((done.is_err(), asked.len()), (true, 1));
}

#[test]
fn upstreams_are_drawn_by_weight() {
    let mut drawn = HashMap::new();
    for step in 0..1000 {
        let place = draw(&[1, 0, 3, 6], f64::from(step) / 1000.0);
        *drawn.entry(place).or_insert(0) += 1;
    }
    assert_eq!(drawn, HashMap::from([(0, 100), (2, 300), (3, 600)]));
    assert_eq!(draw(&[0, 0], 0.7), 0);
    assert_eq!(draw(&[5], 1.0), 0);
}
