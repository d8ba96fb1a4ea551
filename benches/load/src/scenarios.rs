//! What is done to each target, round by round and in turn.

mod alone;

use std::net::SocketAddr;

use crate::{
    crowd,
    drive::{Plan, drive},
    figures::{Figures, at, float},
    gateway::Program,
    options::Options,
    sheet::Sheet,
    target::Target,
};

pub const WHOLE: &str = "whole answers, 16 connections that ask again at once";
pub const RATE: &str = "whole answers at fixed times, half as many";
pub const STREAM: &str = "64 chunks, one stream at a time";
pub const STREAMS: &str = "64 chunks, 16 streams at a time";
pub const CROWD: &str = "64 chunks over 5 s, 1,000 streams at once";
pub const SOCKETS: &str = "10,000 idle WebSockets";
pub const SLOW: &str = "whole answers at fixed times beside 5,000 slow connections";
pub const START: &str = "start";

/// Streams at once.
const STREAMS_AT_ONCE: u32 = 1000;

/// A run.
pub struct Bench<'a> {
    pub options: &'a Options,
    pub program: &'a Program<'a>,
    pub targets: Vec<Target>,
    pub upstream: SocketAddr,
    pub sheet: Sheet,
    /// Data directories made so far.
    pub made: u32,
}

impl Bench<'_> {
    /// Runs what is wanted.
    pub fn run(&mut self) {
        for (name, scenario) in [
            ("whole", Self::whole as fn(&mut Self)),
            ("rate", Self::rate),
            ("streams", Self::streams),
            ("crowd", Self::crowd),
            ("sockets", Self::sockets),
            ("slow", Self::slow),
            ("start", Self::start),
        ] {
            if self.options.wants(name) {
                eprintln!("load: {name}");
                scenario(self);
            }
        }
    }

    fn whole(&mut self) {
        for _ in 0..self.options.rounds {
            for target in &self.targets {
                let figures = drive(target, self.plan(16, None, false));
                let (sheet, name) = (&mut self.sheet, target.name);
                sheet.note(WHOLE, "answers a second", name, figures.rate());
                cost(sheet, WHOLE, "processor an answer, ms", target, &figures);
                latencies(sheet, WHOLE, name, &figures);
                if let Some(process) = &target.process {
                    sheet.note(WHOLE, "resident, MB", name, process.resident() / 1e6);
                    sheet.note(WHOLE, "at its peak, MB", name, process.peak() / 1e6);
                }
                sheet.fail(WHOLE, name, &figures);
            }
        }
    }

    fn rate(&mut self) {
        for _ in 0..self.options.rounds {
            for target in &self.targets {
                let name = target.name;
                // The upstream alone shows what is the drivers' own at bkg's rate.
                let whose = if name == "direct" { "bkg" } else { name };
                let Some(most) = self.sheet.median(WHOLE, "answers a second", whose) else {
                    return eprintln!("load: `rate` needs `whole` before it");
                };
                let figures = drive(target, self.plan(64, Some(most / 2.0), false));
                let sheet = &mut self.sheet;
                sheet.note(RATE, "answers a second", name, figures.rate());
                cost(sheet, RATE, "processor an answer, ms", target, &figures);
                latencies(sheet, RATE, name, &figures);
                sheet.fail(RATE, name, &figures);
            }
        }
    }

    fn streams(&mut self) {
        for (scenario, connections) in [(STREAM, 1), (STREAMS, 16)] {
            for _ in 0..self.options.rounds {
                for target in &self.targets {
                    let figures = drive(target, self.plan(connections, None, true));
                    let (sheet, name) = (&mut self.sheet, target.name);
                    sheet.note(scenario, "streams a second", name, figures.rate());
                    cost(sheet, scenario, "processor a stream, ms", target, &figures);
                    for (what, quantile) in [
                        ("to the first, p50 ms", 0.5),
                        ("to the first, p99 ms", 0.99),
                    ] {
                        sheet.note(scenario, what, name, at(&figures.first, quantile));
                    }
                    for (what, quantile) in
                        [("to the end, p50 ms", 0.5), ("to the end, p99 ms", 0.99)]
                    {
                        sheet.note(scenario, what, name, at(&figures.end, quantile));
                    }
                    sheet.fail(scenario, name, &figures);
                }
            }
        }
    }

    fn crowd(&mut self) {
        for round in 0..self.options.rounds {
            for target in &self.targets {
                // It takes a minute for what others do in six seconds.
                if target.name == "LiteLLM" && (round > 0 || self.options.quick) {
                    continue;
                }
                let crowd = crowd::gather(target, STREAMS_AT_ONCE).expect("threads can be started");
                let (sheet, name, figures) = (&mut self.sheet, target.name, &crowd.figures);
                sheet.note(CROWD, "not whole", name, float(figures.failures));
                sheet.note(
                    CROWD,
                    "the last ended after, s",
                    name,
                    figures.elapsed.as_secs_f64(),
                );
                for (what, quantile) in [
                    ("a chunk's way, p50 ms", 0.5),
                    ("a chunk's way, p99 ms", 0.99),
                    ("a chunk's way, p99.9 ms", 0.999),
                    ("a chunk's way, longest, ms", 1.0),
                ] {
                    sheet.note(CROWD, what, name, at(&figures.chunk, quantile));
                }
                cost(sheet, CROWD, "processor a stream, ms", target, figures);
                if target.process.is_some() {
                    let each = crowd.grown / f64::from(STREAMS_AT_ONCE) / 1e3;
                    sheet.note(CROWD, "memory a stream at its peak, kB", name, each);
                }
                sheet.fail(CROWD, name, figures);
            }
        }
    }

    fn plan(&self, connections: usize, rate: Option<f64>, streamed: bool) -> Plan {
        Plan {
            connections,
            rate,
            warm_up: self.options.warm_up,
            measured: self.options.measured,
            streamed,
        }
    }
}

fn cost(
    sheet: &mut Sheet,
    scenario: &'static str,
    what: &'static str,
    target: &Target,
    figures: &Figures,
) {
    if target.process.is_some() {
        sheet.note(scenario, what, target.name, figures.cost());
    }
}

fn latencies(sheet: &mut Sheet, scenario: &'static str, target: &'static str, figures: &Figures) {
    for (what, quantile) in [
        ("p50 ms", 0.5),
        ("p99 ms", 0.99),
        ("p99.9 ms", 0.999),
        ("longest, ms", 1.0),
    ] {
        sheet.note(scenario, what, target, at(&figures.end, quantile));
    }
}
