//! Panics: in handlers, in answers under way, in factories, while stopping; few and many.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use messages::{
    fault::{Fault, FaultKind},
    plugin::{Policy, Status},
    supervisor::{StartPlugin, StopPlugin},
};

use crate::rig::{Deed, Do, Plan, Tell, pause, quick, run};

fn start(name: &str) -> StartPlugin {
    StartPlugin { name: name.into() }
}

#[test]
fn a_panic_in_a_handler_costs_the_state_and_one_call() {
    run(async {
        let rig = Plan::default().started().await;
        assert_eq!(rig.ask::<0>(Deed::Count).await, Ok(1));
        assert_eq!(rig.ask::<0>(Deed::Count).await, Ok(2));
        let fault = rig.ask::<0>(Deed::Panic).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Crashed);
        rig.until("the next life", |rig| rig.state("zero").restarts == 1)
            .await;
        rig.reaches("zero", Status::Running).await;
        assert_eq!(rig.ask::<0>(Deed::Count).await, Ok(1), "fresh state");
        let state = rig.state("zero");
        assert_eq!((state.generation, state.restarts), (2, 1));
        assert_eq!(state.last_panic.as_deref(), Some("told to"));
        assert_eq!(rig.scripts[0].said(), ["factory", "dropped", "factory"]);
        assert_eq!(rig.state("one").generation, 1);
    });
}

#[test]
fn calls_queued_behind_the_panic_survive() {
    run(async {
        let rig = Plan::default().started().await;
        let block = rig.send::<0>(Deed::Block(Duration::from_millis(100)));
        rig.until("the block", |rig| rig.scripts[0].count("blocking") == 1)
            .await;
        let panic = rig.send::<0>(Deed::Panic);
        pause(5).await;
        let behind = [0; 10].map(|_| rig.send::<0>(Deed::Count));
        assert_eq!(block.await.unwrap(), Ok(1));
        assert_eq!(panic.await.unwrap().unwrap_err().kind, FaultKind::Crashed);
        for (n, call) in (1..).zip(behind) {
            assert_eq!(call.await.unwrap(), Ok(n), "answered by the next life");
        }
    });
}

#[test]
fn answers_under_way_survive_a_panic_beside_them() {
    run(async {
        let rig = Plan::default().started().await;
        let wait = rig.send::<0>(Deed::Wait(Duration::from_millis(60)));
        rig.until("the wait", |rig| rig.scripts[0].count("waiting") == 1)
            .await;
        assert!(rig.ask::<0>(Deed::Panic).await.is_err());
        assert_eq!(wait.await.unwrap(), Ok(1));
    });
}

#[test]
fn a_panic_in_later_work_costs_that_call_alone() {
    run(async {
        let rig = Plan::default().started().await;
        for deed in [Deed::PanicLater, Deed::PanicInWorker] {
            let fault = rig.ask::<0>(deed).await.unwrap_err();
            assert_eq!(fault.kind, FaultKind::Crashed);
            assert!(fault.message.contains("told to"), "{fault}");
        }
        assert_eq!(
            rig.ask::<0>(Deed::Count).await,
            Ok(3),
            "the state is the same"
        );
        let state = rig.state("zero");
        assert_eq!(
            (state.generation, state.restarts, state.calls.panics),
            (1, 0, 2)
        );
        assert_eq!((state.calls.failed, state.calls.served), (2, 1));
    });
}

#[test]
fn a_panic_behind_a_stream_is_a_fault_at_its_end() {
    run(async {
        let rig = Plan::default().started().await;
        let mut deltas = rig.port().call(Tell::<0>(3)).await.unwrap();
        for item in 0..3 {
            assert_eq!(deltas.next().await, Some(Ok(item)));
        }
        let end = deltas.next().await.unwrap().unwrap_err();
        assert_eq!(end.kind, FaultKind::Crashed);
        assert_eq!(deltas.next().await, None);
        assert_eq!(rig.state("zero").generation, 1);
    });
}

#[test]
fn factories_that_panic_are_tried_again() {
    run(async {
        let plan = Plan::default();
        plan.scripts[0].stillborn.store(3, SeqCst);
        let rig = plan.started().await;
        assert_eq!(rig.ask::<0>(Deed::Count).await, Ok(1));
        let state = rig.state("zero");
        assert_eq!((state.generation, state.restarts), (4, 3));
        assert_eq!(state.last_panic.as_deref(), Some("stillborn"));
        rig.scripts[0].stillborn.store(2, SeqCst);
        assert!(rig.ask::<0>(Deed::Panic).await.is_err());
        rig.until("three more lives", |rig| rig.state("zero").generation == 7)
            .await;
        rig.reaches("zero", Status::Running).await;
    });
}

#[test]
fn panics_while_stopping_and_while_dropped_are_survived() {
    run(async {
        let rig = Plan::default().started().await;
        rig.scripts[0].panic_while_stopping.store(true, SeqCst);
        rig.scripts[0].panic_while_dropped.store(true, SeqCst);
        assert!(rig.ask::<0>(Deed::Panic).await.is_err());
        rig.until("the next life", |rig| rig.state("zero").restarts == 1)
            .await;
        rig.reaches("zero", Status::Running).await;
        let stop = StopPlugin {
            name: "zero".into(),
        };
        let state = rig.port().call(stop).await.unwrap();
        assert_eq!(state.state, Status::Stopped);
        assert_eq!(
            rig.scripts[0].count("stopping"),
            1,
            "once, and not after the panic"
        );
        assert_eq!(
            state.calls.panics, 3,
            "one while stopping, two while dropped"
        );
        assert_eq!(rig.ask::<1>(Deed::Count).await, Ok(1));
    });
}

#[test]
fn too_many_restarts_fail_the_plugin_until_an_operator_starts_it() {
    run(async {
        let policy = Policy {
            restarts: 2,
            ..quick()
        };
        let rig = Plan::policy(policy).started().await;
        rig.reaches("zero", Status::Running).await;
        for life in 2..=3 {
            let told = rig.ask::<0>(Deed::Panic).await;
            assert_eq!(told.unwrap_err().kind, FaultKind::Crashed);
            // The answer comes before the state says so: a call at once would only be refused.
            rig.until("the next life", |rig| {
                let state = rig.state("zero");
                state.generation == life && state.state == Status::Running
            })
            .await;
        }
        let block = rig.send::<0>(Deed::Block(Duration::from_millis(50)));
        rig.until("the block", |rig| rig.scripts[0].count("blocking") == 1)
            .await;
        let last = rig.send::<0>(Deed::Panic);
        pause(5).await;
        let queued = rig.send::<0>(Deed::Count);
        assert!(block.await.unwrap().is_ok());
        assert_eq!(last.await.unwrap().unwrap_err().kind, FaultKind::Crashed);
        assert_eq!(queued.await.unwrap().unwrap_err().kind, FaultKind::Failed);
        rig.reaches("zero", Status::Failed).await;
        let reason = rig.state("zero").reason.unwrap();
        assert_eq!(reason, "restarted too often; the last reason: told to");
        let refused = rig.ask::<0>(Deed::Count).await.unwrap_err();
        assert_eq!(refused.kind, FaultKind::Failed);
        assert!(refused.retry_after.is_some());
        let state = rig.port().call(start("zero")).await.unwrap();
        assert_eq!((state.state, state.reason), (Status::Running, None));
        assert_eq!(rig.ask::<0>(Deed::Count).await, Ok(1));
    });
}

#[test]
fn wrong_settings_fail_at_once_and_weather_is_waited_out() {
    run(async {
        let plan = Plan::default();
        *plan.scripts[0].refusal.lock().unwrap() = Some(Fault::unprocessable("no such model"));
        *plan.scripts[1].refusal.lock().unwrap() = Some(Fault::overloaded("the disk is busy"));
        let mut rig = plan.rig();
        let root = std::mem::replace(&mut rig.handle, Plan::default().rig().handle);
        let starting = actix::spawn(async move {
            root.start_all(None).await;
            root
        });
        rig.reaches("zero", Status::Failed).await;
        assert_eq!(rig.state("zero").reason.as_deref(), Some("no such model"));
        assert_eq!(rig.state("zero").generation, 1, "no endless restarts");
        rig.until("tries", |rig| rig.state("one").generation > 3)
            .await;
        *rig.scripts[1].refusal.lock().unwrap() = None;
        rig.reaches("one", Status::Running).await;
        let one = rig.state("one");
        assert_eq!(one.restarts, one.generation - 1, "every restart is counted");
        assert_eq!(one.last_panic, None);
        starting.await.unwrap();
    });
}

#[test]
fn a_thousand_panics_lose_no_call_of_a_neighbour() {
    run(async {
        let rig = Plan::default().started().await;
        let (one, done) = (rig.port(), Arc::new(AtomicBool::new(false)));
        let ended = done.clone();
        let neighbour = actix::spawn(async move {
            let (mut worst, mut calls) = (Duration::ZERO, 0);
            while !ended.load(SeqCst) {
                let start = Instant::now();
                let answer = one.call(Do::<1>(Deed::Count)).await;
                calls += 1;
                assert_eq!(answer, Ok(calls));
                worst = worst.max(start.elapsed());
            }
            (calls, worst)
        });
        for n in 1..=1_000 {
            rig.until("the next life", |rig| rig.state("zero").generation == n)
                .await;
            rig.reaches("zero", Status::Running).await;
            assert!(rig.ask::<0>(Deed::Panic).await.is_err());
        }
        done.store(true, SeqCst);
        let (calls, worst) = neighbour.await.unwrap();
        println!("neighbour's slowest of {calls} calls during 1,000 panics: {worst:?}");
        assert!(worst < Duration::from_secs(1), "{worst:?}");
        rig.until("the last life", |rig| rig.state("zero").restarts == 1_000)
            .await;
        assert_eq!(rig.scripts[0].count("dropped"), 1_000);
        assert_eq!(rig.state("one").generation, 1);
    });
}
