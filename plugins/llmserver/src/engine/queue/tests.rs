//! Batches, turns and answers of the queue.

use messages::fault::FaultKind;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::testing::{cx, cx_of};

type Answer = oneshot::Receiver<Result<Embedded, Fault>>;

fn add(queue: &mut Queue, lengths: &[usize], token: u32) -> Answer {
    add_with(queue, lengths, token, cx())
}

fn add_with(queue: &mut Queue, lengths: &[usize], token: u32, cx: Cx) -> Answer {
    let (reply, answer) = oneshot::channel();
    let sequences = lengths.iter().map(|length| vec![token; *length]).collect();
    queue.add(sequences, cx, reply);
    answer
}

fn lengths(batch: &[Piece]) -> Vec<usize> {
    batch.iter().map(|piece| piece.ids.len()).collect()
}

/// A vector that tells the sequence: its length and its first token.
fn vectors(batch: &[Piece]) -> Vec<Vec<f32>> {
    let length = |piece: &Piece| f32::from(u16::try_from(piece.ids.len()).unwrap());
    let token = |piece: &Piece| f32::from(u16::try_from(piece.ids[0]).unwrap());
    batch
        .iter()
        .map(|piece| vec![length(piece), token(piece)])
        .collect()
}

#[test]
fn a_batch_keeps_to_its_budget_and_is_sorted_by_length() {
    let mut queue = Queue::default();
    let _answer = add(&mut queue, &[5, 2, 9, 2, 4], 1);
    assert_eq!(lengths(&queue.next_batch(10)), [2, 2, 4]);
    assert_eq!(lengths(&queue.next_batch(10)), [5]);
    assert_eq!(lengths(&queue.next_batch(1)), [9], "one always fits");
    assert_eq!(lengths(&queue.next_batch(10)), [0; 0]);
}

#[test]
fn vectors_come_back_in_the_order_of_the_inputs() {
    let mut queue = Queue::default();
    let mut answer = add(&mut queue, &[3, 1, 2, 1], 7);
    while queue.len() > 0 {
        let batch = queue.next_batch(3);
        let vectors = vectors(&batch);
        queue.settle(batch, vectors);
    }
    let embedded = answer.try_recv().unwrap().unwrap();
    let firsts: Vec<f32> = embedded.vectors.iter().map(|vector| vector[0]).collect();
    assert_eq!(firsts, [3.0, 1.0, 2.0, 1.0]);
    assert_eq!(embedded.tokens, 7);
}

#[test]
fn a_short_call_does_not_wait_for_a_long_one() {
    let mut queue = Queue::default();
    let mut long = add(&mut queue, &[2; 100], 1);
    let mut short = add(&mut queue, &[2], 2);
    let batch = queue.next_batch(8);
    let done = vectors(&batch);
    queue.settle(batch, done);
    assert!(short.try_recv().unwrap().is_ok());
    assert!(long.try_recv().is_err());
}

#[test]
fn turns_go_round_between_batches() {
    let mut queue = Queue::default();
    let _answers: Vec<Answer> = (0..6)
        .map(|token| add(&mut queue, &[1; 10], token))
        .collect();
    let mut seen: Vec<u32> = Vec::new();
    for _ in 0..3 {
        seen.extend(queue.next_batch(2).iter().map(|piece| piece.ids[0]));
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_failed_batch_fails_its_own_calls_only() {
    let mut queue = Queue::default();
    let mut first = add(&mut queue, &[4], 1);
    let mut second = add(&mut queue, &[4], 2);
    let batch = queue.next_batch(4);
    queue.fail(&batch, &Fault::crashed("broken"));
    assert_eq!(
        first.try_recv().unwrap().unwrap_err().kind,
        FaultKind::Crashed
    );
    assert!(second.try_recv().is_err());
    assert_eq!(queue.len(), 1);
}

#[test]
fn a_cancelled_call_gives_nothing_to_a_batch() {
    let mut queue = Queue::default();
    let cancel = CancellationToken::new();
    let mut cancelled = add_with(&mut queue, &[3, 3], 1, cx_of(&cancel));
    let _kept = add(&mut queue, &[2], 2);
    let given_up = add(&mut queue, &[4], 3);
    cancel.cancel();
    drop(given_up);
    queue.drop_the_over();
    assert_eq!(lengths(&queue.next_batch(100)), [2]);
    assert!(cancelled.try_recv().is_err());
}
