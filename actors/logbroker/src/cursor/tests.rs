//! What readers are told, and that nothing is told twice or not at all.

use std::sync::{Arc, atomic::AtomicUsize, atomic::Ordering::SeqCst};

use futures_util::{StreamExt, task::noop_waker};
use messages::log_record::Level;

use super::*;
use crate::{
    fixture::{
        Bench,
        Told::{self, Gap, Seqs},
        record,
    },
    ring::Limits,
};

/// Polls once.
fn poll(cursor: &mut Cursor) -> Option<Told> {
    let waker = noop_waker();
    match cursor.poll_next_unpin(&mut Context::from_waker(&waker)) {
        Poll::Ready(frame) => frame.map(Told::from),
        Poll::Pending => None,
    }
}

/// Polls until there is nothing more to tell.
fn drain(cursor: &mut Cursor) -> Vec<Told> {
    let mut told = Vec::new();
    let mut silent = 0;
    while silent < 2 {
        match poll(cursor) {
            Some(one) => {
                told.push(one);
                silent = 0;
            }
            None => silent += 1,
        }
    }
    told
}

#[test]
fn a_reader_gets_history_and_then_news() {
    let bench = Bench::of(8);
    bench.publish(3, "bkg");
    let mut cursor = bench.follow();
    assert_eq!(drain(&mut cursor), [Seqs(vec![1, 2, 3])]);
    bench.publish(1, "bkg");
    assert_eq!(drain(&mut cursor), [Seqs(vec![4])]);
    assert_eq!(bench.ring.figures().subscribers, 1);
    drop(cursor);
    assert_eq!(bench.ring.figures().subscribers, 0);
}

#[test]
fn a_stalled_reader_is_told_exactly_what_it_lost() {
    let bench = Bench::of(8);
    let mut cursor = bench.follow();
    bench.publish(3, "bkg");
    assert_eq!(drain(&mut cursor), [Seqs(vec![1, 2, 3])]);
    bench.publish(100, "bkg");
    assert_eq!(
        drain(&mut cursor),
        [Gap(4, 95, 92), Seqs((96..=103).collect())]
    );
    let figures = bench.ring.figures();
    assert_eq!((figures.gaps, figures.lost, figures.stored), (1, 92, 103));
    assert_eq!(
        (bench.ring.hello().oldest, bench.ring.hello().next),
        (96, 104)
    );
}

#[test]
fn a_reader_that_is_overtaken_between_two_frames_is_told_too() {
    let bench = Bench::of(1_000);
    let mut cursor = bench.follow();
    bench.publish(1_000, "bkg");
    let Some(Seqs(first)) = poll(&mut cursor) else {
        panic!("records come first");
    };
    assert!(first.len() < 1_000, "one frame does not hold them all");
    bench.publish(999, "bkg");
    let last = u64::try_from(first.len()).unwrap();
    let rest = drain(&mut cursor);
    assert_eq!(rest[0], Gap(last + 1, 999, 999 - last));
    assert!(matches!(&rest[1], Seqs(seqs) if seqs[0] == 1_000));
}

#[test]
fn one_frame_a_poll_and_then_a_rest_with_a_wake() {
    struct Count(AtomicUsize);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let bench = Bench::of(2_000);
    bench.publish(1_000, "bkg");
    let mut cursor = bench.follow();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = count.clone().into();
    let mut cx = Context::from_waker(&waker);
    let Poll::Ready(Some(Frame::Records(records))) = cursor.poll_next_unpin(&mut cx) else {
        panic!("records are there");
    };
    let size: usize = records.iter().map(|record| record.len()).sum();
    assert!((FRAME..FRAME + 200).contains(&size), "{size}");
    assert!(cursor.poll_next_unpin(&mut cx).is_pending());
    assert_eq!(count.0.load(SeqCst), 1);
    assert!(cursor.poll_next_unpin(&mut cx).is_ready());
    assert_eq!(drain(&mut cursor).len(), 2);
    assert!(cursor.poll_next_unpin(&mut cx).is_pending());
    bench.publish(1, "bkg");
    assert_eq!(count.0.load(SeqCst), 2, "news wake the reader");
}

#[test]
fn resuming_goes_on_after_the_last_seen() {
    let bench = Bench::of(8);
    bench.publish(5, "bkg");
    let epoch = bench.ring.epoch().to_owned();
    let told = |epoch: Option<&str>, after| drain(&mut bench.resume(epoch, after));
    assert_eq!(told(Some(&epoch), 3), [Seqs(vec![4, 5])]);
    assert_eq!(told(None, 4), [Seqs(vec![5])]);
    assert_eq!(told(Some(&epoch), 5), []);
    assert_eq!(
        told(Some(&epoch), u64::MAX),
        [],
        "nobody has seen the future"
    );
    assert_eq!(told(Some("another"), 3), [Seqs(vec![1, 2, 3, 4, 5])]);
    bench.publish(10, "bkg");
    assert_eq!(
        told(Some(&epoch), 3),
        [Gap(4, 7, 4), Seqs((8..=15).collect())]
    );
    assert_eq!(
        told(Some("another"), 3),
        [Seqs((8..=15).collect())],
        "a replay has no gap"
    );
}

#[test]
fn gaps_are_counted_before_filtering() {
    let bench = Bench::of(4);
    let filter = Filter {
        plugin: Some("brainml".into()),
        level: None,
    };
    let mut cursor = bench.ring.follow(filter, None);
    for _ in 0..10 {
        bench.publish(1, "bkg");
        bench.publish(1, "brainml");
    }
    assert_eq!(drain(&mut cursor), [Gap(1, 16, 16), Seqs(vec![18, 20])]);
}

#[test]
fn the_level_is_the_least_bad_one_that_passes() {
    let bench = Bench::of(8);
    for level in [Level::Error, Level::Warn, Level::Info, Level::Debug] {
        bench.intake.offer(messages::log_record::LogRecord {
            level,
            ..record("bkg")
        });
    }
    bench.publish(0, "");
    let filter = Filter {
        plugin: None,
        level: Some(Level::Warn),
    };
    let mut cursor = bench.ring.follow(filter, None);
    assert_eq!(drain(&mut cursor), [Seqs(vec![1, 2])]);
}

#[test]
fn records_dropped_at_the_intake_are_gaps_too() {
    let bench = Bench::new(Limits {
        waiting: 3,
        ..Limits::default()
    });
    let mut cursor = bench.follow();
    bench.publish(5, "bkg");
    bench.publish(2, "bkg");
    assert_eq!(
        drain(&mut cursor),
        [Seqs(vec![1, 2, 3]), Gap(4, 5, 2), Seqs(vec![6, 7])]
    );
    assert_eq!(bench.ring.figures().dropped, 2);
    bench.publish(4, "bkg");
    assert_eq!(
        drain(&mut cursor),
        [Seqs(vec![8, 9, 10]), Gap(11, 11, 1)],
        "also where nothing follows them"
    );
}

#[test]
fn the_ring_is_bounded_by_bytes() {
    let bench = Bench::new(Limits {
        bytes: 1_000,
        ..Limits::default()
    });
    bench.publish(100, "bkg");
    let bytes = bench.ring.figures().bytes;
    assert!((800..=1_000).contains(&bytes), "{bytes}");
    let told = drain(&mut bench.resume(None, 0));
    let oldest = bench.ring.hello().oldest;
    assert_eq!(
        told,
        [
            Gap(1, oldest - 1, oldest - 1),
            Seqs((oldest..=100).collect())
        ]
    );
}

#[test]
fn numbers_that_were_dropped_leave_no_old_bytes_behind() {
    let bench = Bench::new(Limits {
        records: 100,
        waiting: 10,
        ..Limits::default()
    });
    for _ in 0..20 {
        bench.publish(95, "bkg");
    }
    let kept: usize = (1..=20 * 95)
        .filter_map(|seq| bench.ring.get(seq))
        .map(|entry| entry.json.len())
        .sum();
    assert_eq!(bench.ring.figures().bytes, kept);
    assert!(
        kept <= 20 * 150,
        "the last hundred numbers hold at most 20 records: {kept}"
    );
}

#[test]
fn a_record_larger_than_the_ring_is_kept_alone() {
    let bench = Bench::new(Limits {
        bytes: 10,
        ..Limits::default()
    });
    bench.publish(3, "bkg");
    assert_eq!(drain(&mut bench.follow()), [Seqs(vec![3])]);
}

#[test]
fn frames_are_json_objects() {
    let bench = Bench::of(8);
    bench.publish(2, "bkg");
    let frame = bench.follow().look().unwrap();
    let json: serde_json::Value = serde_json::from_str(&frame.to_json()).unwrap();
    assert_eq!(json["type"], "records");
    assert_eq!(json["records"][1]["seq"], 2);
    assert_eq!(json["records"][1]["plugin"], "bkg");
    let gap = Frame::Gap {
        from: 3,
        to: 5,
        count: 3,
    };
    let text = gap.to_json();
    assert_eq!(&*text, r#"{"type":"gap","from":3,"to":5,"count":3}"#);
    let hello = serde_json::to_value(bench.ring.hello()).unwrap();
    assert_eq!(hello["type"], "hello");
    assert_eq!((&hello["oldest"], &hello["next"]), (&1.into(), &3.into()));
    assert_eq!(hello["epoch"], bench.ring.epoch());
}
