//! Floods: a plugin that is asked without a pause keeps its timers, and its neighbours their pace.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use actix::System;
use messages::{call::Origin, port::Port};

use crate::rig::{Deed, Do, Plan, Rig, pause, run};

/// Asks without a pause, from threads of its own, until told to end; answers how often. The
/// answers take longer than the questions, so that the queue is never empty.
fn flood(rig: &Rig, end: &Arc<AtomicBool>) -> Vec<std::thread::JoinHandle<u64>> {
    let threads = 0..2;
    let start = |_| {
        let (directory, end) = (rig.directory.clone(), end.clone());
        std::thread::spawn(move || {
            let port = Port::<Do<0>>::new(directory, Origin::internal("flood"));
            System::new().block_on(async move {
                let mut asked = 0;
                while !end.load(SeqCst) {
                    let calls =
                        (0..32).map(|_| port.call(Do(Deed::Block(Duration::from_micros(50)))));
                    asked +=
                        u64::try_from(futures_util::future::join_all(calls).await.len()).unwrap();
                }
                asked
            })
        })
    };
    threads.map(start).collect()
}

#[test]
fn a_flood_starves_neither_timers_nor_neighbours() {
    run(async {
        let rig = Plan::default().started().await;
        rig.ask::<0>(Deed::Background).await.unwrap();
        let end = Arc::new(AtomicBool::new(false));
        let floods = flood(&rig, &end);
        pause(100).await;
        let ticks = rig.scripts[0].count("tick");
        let (start, mut worst, mut calls) = (Instant::now(), Duration::ZERO, 0);
        while start.elapsed() < Duration::from_secs(1) {
            let one = Instant::now();
            rig.ask::<1>(Deed::Count).await.unwrap();
            worst = worst.max(one.elapsed());
            calls += 1;
        }
        let ticks = rig.scripts[0].count("tick") - ticks;
        end.store(true, SeqCst);
        let asked: u64 = floods.into_iter().map(|flood| flood.join().unwrap()).sum();
        println!(
            "{asked} calls in the flood; {ticks} of 200 ticks; {calls} calls of the neighbour, slowest {worst:?}"
        );
        assert!(asked > 1_000);
        assert!(ticks > 20, "timers fire during the flood: {ticks}");
        assert!(worst < Duration::from_millis(500), "{worst:?}");
        assert!(!rig.state("zero").hanging);
    });
}
