//! What bkg is to reach, and whether it did.

use crate::{
    scenarios::{CROWD, SLOW, START, STREAM, WHOLE},
    sheet::{Sheet, number},
};

/// Prints each goal that was measured.
pub fn print(sheet: &Sheet) {
    let ours = |scenario, what| sheet.median(scenario, what, "bkg");
    let at_most = |limit: f64| move |measured: f64| measured <= limit;
    let slowed = ours(SLOW, "p99 ms").zip(ours(SLOW, "without them: p99 ms"));
    let slowed = slowed.map(|(slow, quiet)| slow / quiet);
    println!("\n| goal | measured | reached |\n|---|--:|---|");
    row(
        "processor an answer: at most 0.12 ms",
        ours(WHOLE, "processor an answer, ms"),
        at_most(0.12),
    );
    let rate = ours(WHOLE, "answers a second");
    row(
        "answers a second on one core: at least 8,000",
        rate,
        |rate| rate >= 8_000.0,
    );
    let stream = ours(STREAM, "to the end, p50 ms");
    row("a stream of 64 chunks: within 3 ms", stream, at_most(3.0));
    let missing = ours(CROWD, "not whole");
    row(
        "1,000 streams at once: none that is not whole",
        missing,
        at_most(0.0),
    );
    row(
        "beside 5,000 slow connections: p99 within twice its quiet value",
        slowed,
        at_most(2.0),
    );
    let ready = ours(START, "on a new directory: to readiness, ms");
    row("ready within 300 ms", ready, at_most(300.0));
    let resident = ours(START, "on a new directory: resident, MB");
    row(
        "resident without models: under 60 MB",
        resident,
        at_most(60.0),
    );
}

fn row(goal: &str, measured: Option<f64>, reached: impl Fn(f64) -> bool) {
    if let Some(measured) = measured {
        let reached = if reached(measured) { "yes" } else { "**no**" };
        println!("| {goal} | {} | {reached} |", number(measured));
    }
}
