//! Load on the release program, and on others beside it, on one machine and over loopback alone.
//!
//! What is measured has the first core to itself; the upstream and the drivers have the others.
//! `make load` says how it is run, and `benches/RESULTS.md` what came of it.
#![allow(
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a bench that is surprised should fail"
)]

mod answer;
mod crowd;
mod drive;
mod figures;
mod gateway;
mod goals;
mod machine;
mod options;
mod peers;
mod process;
mod scenarios;
mod sheet;
mod slow;
mod sockets;
mod target;
mod upstream;
mod wire;

use std::{env, fs, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use crate::{
    gateway::Program,
    options::Options,
    peers::Peers,
    process::{Process, Start},
    scenarios::Bench,
    sheet::Sheet,
    target::Target,
};

fn main() -> ExitCode {
    if env::args()
        .nth(1)
        .is_some_and(|argument| argument == "upstream")
    {
        upstream::serve();
        return ExitCode::SUCCESS;
    }
    let core = machine::settle();
    let options = Options::read();
    let folder = Folder::make();
    println!("{}; each gateway on core {core} alone", machine::describe());
    let (_upstream, address) = start_upstream(&folder);
    let program = Program {
        path: &options.bkg,
        data: folder.0.join("bkg"),
        core: &core,
    };
    let mut targets = vec![direct(address)];
    let mut bkg = program.start();
    program.prepare(&mut bkg, address);
    targets.push(bkg);
    if let Some(python) = &options.peers {
        let peers = Peers {
            python,
            folder: &folder.0,
            core: &core,
            upstream: address,
        };
        targets.extend(peers.start());
    }
    let mut bench = Bench {
        options: &options,
        program: &program,
        targets,
        upstream: address,
        sheet: Sheet::default(),
        made: 0,
    };
    bench.run();
    bench.sheet.print();
    goals::print(&bench.sheet);
    match bench.sheet.is_clean() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn direct(address: SocketAddr) -> Target {
    Target {
        name: "direct",
        address,
        prefix: "",
        path: "/v1/chat/completions",
        key: None,
        ready: Duration::ZERO,
        process: None,
    }
}

fn start_upstream(folder: &Folder) -> (Process, SocketAddr) {
    let mut process = Process::start(&Start {
        command: vec![env::current_exe().unwrap().into(), "upstream".into()],
        env: Vec::new(),
        folder: &folder.0,
        core: None,
    });
    let address = process.wait(|process| {
        let log = process.read_log();
        log.strip_prefix("listening on ")?
            .strip_suffix('\n')?
            .parse()
            .ok()
    });
    (process, address.expect("the upstream listens"))
}

/// A folder that goes away in the end.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Self {
        let folder = env::temp_dir().join(format!("bkg-load-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
