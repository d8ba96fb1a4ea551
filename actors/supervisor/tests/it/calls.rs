//! Calls: bounds, deadlines, and the end of work that nobody waits for.

use std::time::{Duration, Instant};

use messages::{call::Origin, fault::FaultKind, plugin::Policy, port::Port};

use crate::rig::{Deed, Do, Plan, pause, quick, run};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn one_call_more_than_permits_is_refused_at_once() {
    run(async {
        let policy = Policy {
            permits: Policy::default().permits,
            ..quick()
        };
        let rig = Plan::policy(policy).started().await;
        let waiting: Vec<_> = (0..64).map(|_| rig.send::<0>(Deed::Wait(LONG))).collect();
        rig.until("64 waits", |rig| rig.scripts[0].count("waiting") == 64)
            .await;
        let start = Instant::now();
        let fault = rig.ask::<0>(Deed::Count).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Overloaded);
        assert!(start.elapsed() < Duration::from_millis(50));
        let calls = rig.state("zero").calls;
        assert_eq!((calls.in_flight, calls.refused), (64, 1));
        waiting.iter().for_each(|call| call.abort());
        rig.until("room", |rig| rig.state("zero").calls.in_flight == 0)
            .await;
        assert_eq!(rig.ask::<0>(Deed::Count).await, Ok(65));
        assert_eq!(rig.state("zero").calls.cancelled, 64);
    });
}

#[test]
fn a_capability_may_have_more_permits_than_its_plugins_others() {
    run(async {
        let policy = Policy {
            permits: 1,
            permits_of: [("zero.do", 3)].into(),
            ..quick()
        };
        let rig = Plan::policy(policy).started().await;
        let waiting: Vec<_> = (0..3).map(|_| rig.send::<0>(Deed::Wait(LONG))).collect();
        rig.until("3 waits", |rig| rig.scripts[0].count("waiting") == 3)
            .await;
        let fault = rig.ask::<0>(Deed::Count).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Overloaded);
        waiting.iter().for_each(|call| call.abort());
    });
}

#[test]
fn work_is_dropped_soon_after_its_caller() {
    run(async {
        let rig = Plan::default().started().await;
        let call = rig.send::<0>(Deed::Wait(LONG));
        rig.until("the wait", |rig| rig.scripts[0].count("waiting") == 1)
            .await;
        let start = Instant::now();
        call.abort();
        rig.until("the end", |rig| rig.scripts[0].count("work dropped") == 1)
            .await;
        assert!(start.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn work_on_a_worker_keeps_its_permit_after_its_caller_has_gone() {
    run(async {
        let policy = Policy {
            permits: 1,
            ..quick()
        };
        let rig = Plan::policy(policy).started().await;
        let call = rig.send::<0>(Deed::Work(Duration::from_millis(200)));
        rig.until("the work", |rig| rig.scripts[0].count("working") == 1)
            .await;
        call.abort();
        rig.until("the end", |rig| rig.state("zero").calls.cancelled == 1)
            .await;
        pause(20).await;
        let fault = rig.ask::<0>(Deed::Count).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Overloaded);
        assert_eq!(rig.scripts[0].count("worked"), 0);
        rig.until("room", |rig| rig.state("zero").calls.in_flight == 0)
            .await;
        assert_eq!(rig.scripts[0].count("worked"), 1);
        assert_eq!(rig.ask::<0>(Deed::Count).await, Ok(2));
    });
}

#[test]
fn a_deadline_ends_the_call_and_its_work() {
    run(async {
        let rig = Plan::default().started().await;
        let origin = Origin {
            deadline: Some(tokio::time::Instant::now() + Duration::from_millis(50)),
            ..Origin::internal("test")
        };
        let port = Port::new(rig.directory.clone(), origin);
        let fault = port.call(Do::<0>(Deed::Wait(LONG))).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::TimedOut);
        rig.until("the end", |rig| rig.scripts[0].count("work dropped") == 1)
            .await;
        assert_eq!(rig.state("zero").calls.timed_out, 1);
        assert_eq!(rig.ask::<0>(Deed::Count).await, Ok(2));
    });
}

#[test]
fn a_queued_call_whose_caller_has_gone_is_skipped() {
    run(async {
        let rig = Plan::default().started().await;
        let block = rig.send::<0>(Deed::Block(Duration::from_millis(80)));
        rig.until("the block", |rig| rig.scripts[0].count("blocking") == 1)
            .await;
        let queued = rig.send::<0>(Deed::Count);
        pause(10).await;
        queued.abort();
        block.await.unwrap().unwrap();
        assert_eq!(
            rig.ask::<0>(Deed::Count).await,
            Ok(2),
            "only the block was before"
        );
    });
}

#[test]
fn background_tasks_end_with_their_life_and_panic_alone() {
    run(async {
        let rig = Plan::default().started().await;
        rig.ask::<0>(Deed::Background).await.unwrap();
        rig.until("ticks", |rig| rig.scripts[0].count("tick") > 2)
            .await;
        assert_eq!(rig.state("zero").calls.panics, 1);
        assert_eq!(rig.state("zero").generation, 1);
        let life = rig.scripts[0].life.lock().unwrap().clone();
        assert!(rig.ask::<0>(Deed::Panic).await.is_err());
        rig.until("the end", |rig| rig.scripts[0].count("work dropped") == 1)
            .await;
        assert!(life.is_cancelled());
        let ticks = rig.scripts[0].count("tick");
        pause(30).await;
        assert_eq!(rig.scripts[0].count("tick"), ticks);
        rig.until("a new life", |rig| rig.state("zero").restarts == 1)
            .await;
        assert!(!rig.scripts[0].life.lock().unwrap().is_cancelled());
    });
}
