//! A plugin whose thread hangs: seen from outside, felt by nobody else, abandoned when stopped.

use std::time::{Duration, Instant};

use messages::{
    call::Origin,
    fault::FaultKind,
    plugin::Status,
    port::Port,
    supervisor::{StartPlugin, StopPlugin},
};

use crate::rig::{Deed, Do, Plan, Rig, run};

async fn slowest_of_neighbour(rig: &Rig, calls: u32) -> Duration {
    let mut worst = Duration::ZERO;
    for _ in 0..calls {
        let start = Instant::now();
        rig.ask::<1>(Deed::Count).await.unwrap();
        worst = worst.max(start.elapsed());
    }
    worst
}

#[test]
fn a_hanging_thread_is_marked_and_unmarked() {
    run(async {
        let rig = Plan::default().started().await;
        let block = rig.send::<0>(Deed::Block(Duration::from_millis(600)));
        rig.until("the mark", |rig| rig.state("zero").hanging).await;
        assert!(!rig.state("one").hanging);
        let worst = slowest_of_neighbour(&rig, 500).await;
        println!("neighbour's slowest of 500 calls beside a hang: {worst:?}");
        assert!(worst < Duration::from_millis(250), "{worst:?}");
        let origin = Origin {
            deadline: Some(tokio::time::Instant::now() + Duration::from_millis(30)),
            ..Origin::internal("test")
        };
        let port = Port::new(rig.directory.clone(), origin);
        let late = port.call(Do::<0>(Deed::Count)).await.unwrap_err();
        assert_eq!(
            late.kind,
            FaultKind::TimedOut,
            "callers get their deadlines"
        );
        assert_eq!(block.await.unwrap(), Ok(1));
        rig.until("the end of it", |rig| !rig.state("zero").hanging)
            .await;
        assert_eq!(rig.state("zero").state, Status::Running);
    });
}

#[test]
fn a_hanging_thread_is_abandoned_and_cannot_speak_for_its_successor() {
    run(async {
        let rig = Plan::default().started().await;
        let block = rig.send::<0>(Deed::Block(Duration::from_millis(1_500)));
        rig.until("the mark", |rig| rig.state("zero").hanging).await;
        let start = Instant::now();
        let stop = StopPlugin {
            name: "zero".into(),
        };
        let state = rig.port().call(stop).await.unwrap();
        assert_eq!((state.state, state.hanging), (Status::Stopped, false));
        assert!(
            start.elapsed() < Duration::from_millis(700),
            "{:?}",
            start.elapsed()
        );
        let start = StartPlugin {
            name: "zero".into(),
        };
        rig.port().call(start).await.unwrap();
        assert_eq!(
            rig.ask::<0>(Deed::Count).await,
            Ok(1),
            "the successor answers"
        );
        drop(block.await.unwrap());
        rig.until("the old state's end", |rig| {
            rig.scripts[0].count("dropped") == 1
        })
        .await;
        let state = rig.state("zero");
        assert_eq!((state.state, state.generation), (Status::Running, 2));
        assert_eq!(rig.ask::<0>(Deed::Count).await, Ok(2));
    });
}

#[test]
fn calls_lost_on_an_abandoned_thread_hold_up_no_later_stop() {
    run(async {
        let rig = Plan::default().started().await;
        let block = rig.send::<0>(Deed::Block(Duration::from_millis(2_000)));
        rig.until("the mark", |rig| rig.state("zero").hanging).await;
        let stop = || StopPlugin {
            name: "zero".into(),
        };
        rig.port().call(stop()).await.unwrap();
        assert_eq!(rig.state("zero").calls.in_flight, 1, "it is still at it");
        let start = StartPlugin {
            name: "zero".into(),
        };
        rig.port().call(start).await.unwrap();
        assert_eq!(rig.state("zero").calls.in_flight, 0);
        let since = Instant::now();
        rig.port().call(stop()).await.unwrap();
        let took = since.elapsed();
        assert!(took < Duration::from_millis(250), "{took:?} of 300 ms");
        drop(block.await.unwrap());
        assert_eq!(rig.state("zero").calls.in_flight, 0, "and not below");
    });
}

#[test]
fn a_factory_that_hangs_is_abandoned_and_changes_nothing_when_it_returns() {
    run(async {
        let rig = Plan::default().started().await;
        *rig.scripts[0].slow.lock().unwrap() = Duration::from_millis(600);
        assert!(rig.ask::<0>(Deed::Panic).await.is_err());
        rig.until("the factory", |rig| rig.state("zero").generation == 2)
            .await;
        let stop = StopPlugin {
            name: "zero".into(),
        };
        let state = rig.port().call(stop).await.unwrap();
        assert_eq!(state.state, Status::Stopped);
        rig.until("the late state's end", |rig| {
            rig.scripts[0].count("dropped") == 2
        })
        .await;
        assert_eq!(rig.state("zero").state, Status::Stopped);
        assert!(rig.scripts[0].life.lock().unwrap().is_cancelled());
    });
}
