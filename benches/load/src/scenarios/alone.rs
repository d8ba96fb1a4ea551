//! What is done to bkg alone, each time to a gateway that has done nothing before.

use std::{sync::atomic::Ordering, thread, time::Duration};

use super::{Bench, SLOW, SOCKETS, START};
use crate::{
    drive::drive,
    figures::{at, float},
    gateway::Program,
    machine::open_files,
    process::Process,
    slow::{self, Seen},
    sockets::Sockets,
    target::Target,
};

/// Files that a process needs beside its connections.
const SPARE_FILES: usize = 500;

/// Sockets that are opened, where so many files may be open.
const SOCKETS_AT_ONCE: usize = 10_000;

/// Connections that are slow.
const SLOW_AT_ONCE: usize = 5_000;

/// Until all slow ones are there and the first have been ended.
const SLOW_RAMP: Duration = Duration::from_secs(12);

/// Requests a second beside the slow connections.
const BESIDE_SLOW: f64 = 1_000.0;

impl<'a> Bench<'a> {
    pub(super) fn sockets(&mut self) {
        let wanted = SOCKETS_AT_ONCE.min(open_files().saturating_sub(SPARE_FILES));
        if wanted < SOCKETS_AT_ONCE {
            eprintln!("load: the hard limit of open files allows {wanted} sockets");
        }
        let program = self.another("sockets");
        let mut target = program.start();
        target.key = Some(program.key("admin", &[]));
        let process = process(&target);
        let before = process.resident();
        let mut sockets = Sockets::open(&target, wanted);
        sockets.idle(Duration::from_secs(2));
        let grown = process.resident() - before;
        let (opened, spent) = (count(sockets.count()), process.processor());
        let rest = self.options.measured * 3;
        sockets.idle(rest);
        let busy = (process.processor() - spent).as_secs_f64() / rest.as_secs_f64();
        let sheet = &mut self.sheet;
        sheet.note(SOCKETS, "open", "bkg", opened);
        sheet.note(SOCKETS, "open in the end", "bkg", count(sockets.count()));
        sheet.note(SOCKETS, "memory a socket, kB", "bkg", grown / opened / 1e3);
        sheet.note(
            SOCKETS,
            "processor meanwhile, % of a core",
            "bkg",
            busy * 100.0,
        );
    }

    pub(super) fn slow(&mut self) {
        let program = self.another("slow");
        let mut target = program.start();
        program.prepare(&mut target, self.upstream);
        let plan = self.plan(64, Some(BESIDE_SLOW), false);
        for _ in 0..self.options.rounds {
            let quiet = drive(&target, plan);
            let seen = Seen::default();
            let slowed = thread::scope(|scope| {
                scope.spawn(|| slow::dawdle(&target, SLOW_AT_ONCE, &seen));
                thread::sleep(SLOW_RAMP);
                let slowed = drive(&target, plan);
                seen.over.store(true, Ordering::Relaxed);
                slowed
            });
            let sheet = &mut self.sheet;
            sheet.note(SLOW, "slow ones open", "bkg", float(seen.open()));
            sheet.note(SLOW, "slow ones ended by it", "bkg", float(seen.ended()));
            sheet.note(SLOW, "answers a second", "bkg", slowed.rate());
            for (figures, p50, p99, longest) in [
                (
                    &quiet,
                    "without them: p50 ms",
                    "without them: p99 ms",
                    "without them: longest, ms",
                ),
                (&slowed, "p50 ms", "p99 ms", "longest, ms"),
            ] {
                sheet.note(SLOW, p50, "bkg", at(&figures.end, 0.5));
                sheet.note(SLOW, p99, "bkg", at(&figures.end, 0.99));
                sheet.note(SLOW, longest, "bkg", at(&figures.end, 1.0));
                sheet.fail(SLOW, "bkg", figures);
            }
        }
    }

    pub(super) fn start(&mut self) {
        for _ in 0..self.options.rounds {
            let program = self.another("start");
            for (ready, resident) in [
                (
                    "on a new directory: to readiness, ms",
                    "on a new directory: resident, MB",
                ),
                ("again: to readiness, ms", "again: resident, MB"),
            ] {
                let target = program.start();
                // What it does once it serves, such as indexing its guide, is to be in its memory.
                thread::sleep(Duration::from_secs(1));
                self.sheet
                    .note(START, ready, "bkg", target.ready.as_secs_f64() * 1e3);
                self.sheet
                    .note(START, resident, "bkg", process(&target).resident() / 1e6);
            }
        }
        for target in self.targets.iter().filter(|target| target.name != "bkg") {
            if target.process.is_some() {
                let ready = target.ready.as_secs_f64() * 1e3;
                self.sheet
                    .note(START, "again: to readiness, ms", target.name, ready);
            }
        }
    }

    /// The program, with a new data directory.
    fn another(&mut self, name: &str) -> Program<'a> {
        self.made += 1;
        let folder = self
            .program
            .data
            .with_file_name(format!("{name}-{}", self.made));
        Program {
            path: self.program.path,
            data: folder,
            core: self.program.core,
        }
    }
}

fn process(target: &Target) -> &Process {
    target.process.as_ref().expect("bkg is a process")
}

fn count(count: usize) -> f64 {
    float(u64::try_from(count).unwrap_or(u64::MAX))
}
