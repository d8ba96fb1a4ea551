//! Starting and stopping: order, operators' wishes, entries that are wrong.

use std::time::{Duration, Instant};

use messages::{
    fault::FaultKind,
    plugin::{Policy, Status},
    supervisor::{InspectPlugin, RestartPlugin, StartPlugin, StopPlugin},
};
use serde_json::json;

use crate::rig::{Deed, Plan, Rig, pause, quick, run};

fn when(rig: &Rig, event: &str) -> [Instant; 3] {
    [0, 1, 2].map(|n: usize| rig.scripts[n].when(event))
}

#[test]
fn plugins_start_after_what_they_need_and_stop_before_it() {
    run(async {
        let rig = Plan::plugins(json!({
            "zero": {"needs": ["one"]}, "one": {"needs": ["two"]}, "two": {},
        }))
        .started()
        .await;
        let [zero, one, two] = when(&rig, "factory");
        assert!(two < one && one < zero);
        assert!(
            rig.directory
                .states()
                .iter()
                .all(|state| state.state == Status::Running)
        );
        rig.handle.stop_all(Duration::from_secs(5)).await;
        let [zero, one, two] = when(&rig, "stopping");
        assert!(zero < one && one < two);
        assert!(
            rig.directory
                .states()
                .iter()
                .all(|state| state.state == Status::Stopped)
        );
        assert!(
            rig.scripts
                .iter()
                .all(|script| script.count("stopping") == 1)
        );
    });
}

#[test]
fn only_what_is_asked_for_starts_with_its_needs() {
    run(async {
        let rig = Plan::plugins(json!({
            "zero": {"needs": ["one"]}, "one": {"autostart": false}, "two": {},
        }))
        .rig();
        rig.handle.start_all(Some(vec!["zero".to_owned()])).await;
        let states: Vec<Status> = rig.directory.states().iter().map(|s| s.state).collect();
        assert_eq!(states, [Status::Running, Status::Running, Status::Stopped]);
    });
}

#[test]
fn a_plugin_that_does_not_come_up_holds_nobody_up_for_long() {
    run(async {
        let slow = Policy {
            backoff: Duration::from_secs(60),
            longest_backoff: Duration::from_secs(60),
            start_within: Duration::from_millis(300),
            ..quick()
        };
        let plan = Plan {
            policies: [slow, quick(), quick()],
            plugins: json!({"zero": {}, "one": {"needs": ["zero"]}}),
            ..Plan::default()
        };
        plan.scripts[0]
            .stillborn
            .store(1, std::sync::atomic::Ordering::SeqCst);
        let rig = plan.started().await;
        assert_eq!(rig.state("zero").state, Status::Restarting);
        assert_eq!(rig.state("one").state, Status::Running);
        let fault = rig.ask::<0>(Deed::Count).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Restarting);
        assert!(fault.retry_after.unwrap() > Duration::from_secs(40));
        let stop = StopPlugin {
            name: "zero".into(),
        };
        assert_eq!(rig.port().call(stop).await.unwrap().state, Status::Stopped);
    });
}

#[test]
fn wrong_entries_are_named_and_disabled_alone() {
    run(async {
        let rig = Plan::plugins(json!({
            "zero": {"needs": ["nobody"]},
            "one": {"capabilities": ["one.do", "one.fly"]},
            "two": {"settings": {"size": 1}},
            "three": {},
        }))
        .started()
        .await;
        let reason = |name: &str| rig.state(name).reason.unwrap_or_default();
        assert!(reason("zero").contains("`nobody`"), "{}", reason("zero"));
        assert!(reason("one").contains("`one.fly`"), "{}", reason("one"));
        assert!(reason("three").contains("built in"), "{}", reason("three"));
        for name in ["zero", "one", "three"] {
            assert_eq!(rig.state(name).state, Status::Disabled);
            let start = StartPlugin { name: name.into() };
            let fault = rig.port().call(start).await.unwrap_err();
            assert_eq!(fault.kind, FaultKind::Conflict, "{fault}");
        }
        assert_eq!(rig.ask::<2>(Deed::Size).await, Ok(1));
        let fault = rig.ask::<0>(Deed::Count).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Stopped);
    });
}

#[test]
fn needs_in_a_circle_are_disabled_with_the_circle() {
    run(async {
        let rig = Plan::plugins(json!({
            "zero": {"needs": ["one"]}, "one": {"needs": ["zero"]}, "two": {"needs": ["zero"]},
        }))
        .started()
        .await;
        let reason = rig.state("zero").reason.unwrap();
        assert!(reason.contains("zero needs one needs zero"), "{reason}");
        assert_eq!(rig.state("one").state, Status::Disabled);
        assert_eq!(rig.state("two").state, Status::Running);
    });
}

#[test]
fn entries_with_unknown_fields_kinds_and_settings_are_disabled() {
    run(async {
        let rig = Plan::plugins(json!({
            "zero": {"colour": 1}, "one": {"kind": "wasm"}, "two": {"settings": {"sise": 1}},
        }))
        .started()
        .await;
        for (name, culprit) in [("zero", "colour"), ("one", "wasm"), ("two", "sise")] {
            let state = rig.state(name);
            assert_eq!(state.state, Status::Disabled);
            assert!(state.reason.unwrap().contains(culprit));
        }
    });
}

#[test]
fn an_operator_stops_starts_and_restarts() {
    run(async {
        let rig = Plan::default().started().await;
        let name = || "zero".to_owned();
        let wait = rig.send::<0>(Deed::Wait(Duration::from_millis(100)));
        rig.until("the wait", |rig| rig.scripts[0].count("waiting") == 1)
            .await;
        let port = rig.port();
        let stopping = actix::spawn(async move { port.call(StopPlugin { name: name() }).await });
        rig.reaches("zero", Status::Stopping).await;
        let refused = rig.ask::<0>(Deed::Count).await.unwrap_err();
        assert_eq!(refused.kind, FaultKind::Stopped);
        assert_eq!(wait.await.unwrap(), Ok(1), "work in flight gets its time");
        assert_eq!(stopping.await.unwrap().unwrap().state, Status::Stopped);
        assert_eq!(rig.scripts[0].said()[2..], ["stopping", "dropped"]);
        assert!(rig.scripts[0].life.lock().unwrap().is_cancelled());
        let again = rig.port().call(StopPlugin { name: name() }).await.unwrap();
        assert_eq!(again.state, Status::Stopped);

        let state = rig.port().call(StartPlugin { name: name() }).await.unwrap();
        assert_eq!((state.state, state.generation), (Status::Running, 2));
        assert_eq!(rig.ask::<0>(Deed::Count).await, Ok(1));
        let same = rig.port().call(StartPlugin { name: name() }).await.unwrap();
        assert_eq!(same.generation, 2, "it runs already");
        let state = rig
            .port()
            .call(RestartPlugin { name: name() })
            .await
            .unwrap();
        assert_eq!((state.generation, state.restarts), (3, 0));
    });
}

#[test]
fn work_that_outlasts_the_stop_is_cut_off() {
    run(async {
        let rig = Plan::default().started().await;
        let wait = rig.send::<0>(Deed::Wait(Duration::from_secs(60)));
        rig.until("the wait", |rig| rig.scripts[0].count("waiting") == 1)
            .await;
        let stop = StopPlugin {
            name: "zero".into(),
        };
        assert_eq!(rig.port().call(stop).await.unwrap().state, Status::Stopped);
        assert_eq!(wait.await.unwrap().unwrap_err().kind, FaultKind::Stopped);
        assert_eq!(rig.scripts[0].count("stopping"), 1);
        assert_eq!(rig.scripts[0].count("work dropped"), 1);
    });
}

#[test]
fn calls_queued_when_the_plugin_stops_are_told_to_come_again() {
    run(async {
        let policy = Policy {
            backoff: Duration::from_secs(60),
            longest_backoff: Duration::from_secs(60),
            ..quick()
        };
        let rig = Plan::policy(policy).started().await;
        let block = rig.send::<0>(Deed::Block(Duration::from_millis(50)));
        rig.until("the block", |rig| rig.scripts[0].count("blocking") == 1)
            .await;
        let panic = rig.send::<0>(Deed::Panic);
        pause(5).await;
        let queued = rig.send::<0>(Deed::Count);
        assert_eq!(block.await.unwrap(), Ok(1));
        let own = panic.await.unwrap().unwrap_err();
        assert_eq!(own.kind, FaultKind::Crashed);
        rig.reaches("zero", Status::Restarting).await;
        let stop = StopPlugin {
            name: "zero".into(),
        };
        rig.port().call(stop).await.unwrap();
        let fault = queued.await.unwrap().unwrap_err();
        assert_eq!(fault.kind, FaultKind::Stopped, "{fault}");
        assert!(fault.retry_after.is_some());
        let calls = rig.state("zero").calls;
        assert_eq!((calls.served, calls.failed, calls.refused), (1, 1, 1));
    });
}

#[test]
fn a_stopping_plugin_can_be_inspected_at_once() {
    run(async {
        let rig = Plan::default().started().await;
        let wait = rig.send::<0>(Deed::Wait(Duration::from_secs(60)));
        rig.until("the wait", |rig| rig.scripts[0].count("waiting") == 1)
            .await;
        let name = || "zero".to_owned();
        let port = rig.port();
        let stopping = actix::spawn(async move { port.call(StopPlugin { name: name() }).await });
        rig.reaches("zero", Status::Stopping).await;
        let inspect = InspectPlugin { name: name() };
        let detail = rig.port().call(inspect).await.unwrap();
        assert_eq!(detail.state.state, Status::Stopping, "and not only later");
        assert_eq!(stopping.await.unwrap().unwrap().state, Status::Stopped);
        assert!(wait.await.unwrap().is_err());
    });
}

#[test]
fn what_nobody_answers_may_be_asked_again_later() {
    run(async {
        let rig = Plan::default().rig();
        let fault = rig.ask::<0>(Deed::Count).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Stopped);
        assert!(fault.retry_after.is_some());
    });
}

#[test]
fn unknown_plugins_are_unknown() {
    run(async {
        let rig = Plan::default().rig();
        let inspect = InspectPlugin {
            name: "nobody".into(),
        };
        let fault = rig.port().call(inspect).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unknown);
        assert_eq!(fault.param.as_deref(), Some("name"));
    });
}

#[test]
fn a_panic_while_work_is_finished_lets_nobody_in_again() {
    run(async {
        let rig = Plan::default().started().await;
        let wait = rig.send::<0>(Deed::Wait(Duration::from_millis(250)));
        rig.until("the wait", |rig| rig.scripts[0].count("waiting") == 1)
            .await;
        let block = rig.send::<0>(Deed::Block(Duration::from_millis(50)));
        rig.until("the block", |rig| rig.scripts[0].count("blocking") == 1)
            .await;
        let panic = rig.send::<0>(Deed::Panic);
        rig.until("the queue", |rig| rig.state("zero").calls.in_flight == 3)
            .await;
        let port = rig.port();
        let stop = StopPlugin {
            name: "zero".into(),
        };
        let stopping = actix::spawn(async move { port.call(stop).await });
        rig.reaches("zero", Status::Stopping).await;
        assert!(block.await.unwrap().is_ok());
        let own = panic.await.unwrap().unwrap_err();
        assert_eq!(own.kind, FaultKind::Crashed, "a panic's own call");
        rig.until("a new life", |rig| rig.scripts[0].count("factory") == 2)
            .await;
        pause(20).await;
        assert_eq!(rig.state("zero").state, Status::Stopping);
        let refused = rig.ask::<0>(Deed::Count).await.unwrap_err();
        assert_eq!(refused.kind, FaultKind::Stopped);
        assert_eq!(wait.await.unwrap(), Ok(1));
        assert_eq!(stopping.await.unwrap().unwrap().state, Status::Stopped);
    });
}
