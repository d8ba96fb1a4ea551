//! What the command line says.

use std::{
    env,
    path::{PathBuf, absolute},
    time::Duration,
};

/// How to run.
pub struct Options {
    /// The release program.
    pub bkg: PathBuf,
    /// The Python of the environment with the others; none are measured without it.
    pub peers: Option<PathBuf>,
    /// Names of the scenarios to run; all where none is named.
    pub only: Vec<String>,
    /// How often each is run, in turn.
    pub rounds: usize,
    /// What is not measured at the beginning of each.
    pub warm_up: Duration,
    /// What is measured.
    pub measured: Duration,
    /// Whether this is to be over soon.
    pub quick: bool,
}

impl Options {
    /// Reads `--bkg FILE`, `--peers PYTHON`, `--only NAME,…` and `--quick`.
    pub fn read() -> Self {
        let mut options = Self {
            bkg: "target/release/bkg".into(),
            peers: None,
            only: Vec::new(),
            rounds: 3,
            warm_up: Duration::from_secs(1),
            measured: Duration::from_secs(5),
            quick: false,
        };
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().expect("a value follows");
            match &*argument {
                "--bkg" => options.bkg = value().into(),
                "--peers" => options.peers = there(&value()),
                "--only" => options.only = value().split(',').map(str::to_owned).collect(),
                "--quick" => {
                    options.quick = true;
                    options.rounds = 1;
                    options.warm_up = Duration::from_millis(500);
                    options.measured = Duration::from_secs(2);
                }
                other => panic!("there is no option {other}"),
            }
        }
        // Gateways start in folders of their own.
        options.bkg = options
            .bkg
            .canonicalize()
            .expect("the release program is there");
        options
    }

    /// Whether a scenario is to be run.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

/// The Python at `path`, unless there is none. Its link must not be followed: the environment that
/// it belongs to is beside it.
fn there(path: &str) -> Option<PathBuf> {
    let path = absolute(path).expect("the current folder is known");
    let there = path.is_file();
    if !there {
        eprintln!("load: there is no {}: bkg alone", path.display());
    }
    there.then_some(path)
}
