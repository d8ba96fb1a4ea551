//! The machine: which core is whose, how many files may be open, and what to call it in a report.

use std::{
    collections::BTreeMap, env, ffi::OsString, fs, io, os::unix::process::CommandExt,
    process::Command,
};

/// Says that this process is the one whose limits and cores have been set, and names the core of
/// what is measured.
const SETTLED: &str = "LOAD_GATEWAY_CORE";

/// Starts this program again with as many open files as the hard limit allows, on all cores but the
/// first, which belongs to what is measured. Answers that core, the second time.
pub fn settle() -> String {
    if let Ok(core) = env::var(SETTLED) {
        return core;
    }
    let cores = allowed_cores();
    let (gateway, rest) = match cores.split_first() {
        Some((first, [])) => (first, cores.clone()),
        Some((first, rest)) => (first, rest.to_vec()),
        None => panic!("the kernel names no core for this process"),
    };
    let error = Command::new("sh")
        .args(["-c", r#"ulimit -n "$(ulimit -Hn)"; exec "$@""#, "sh"])
        .args(["taskset", "-c", &rest.join(",")])
        .arg(env::current_exe().unwrap())
        .args(env::args_os().skip(1).collect::<Vec<OsString>>())
        .env(SETTLED, gateway)
        .exec();
    panic!("cannot start again through sh: {error}");
}

/// The cores that this process may use.
fn allowed_cores() -> Vec<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = field(&status, "Cpus_allowed_list:").unwrap_or("0");
    let ranges = list.split(',').map(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        from.trim().parse::<u32>().unwrap()..=to.trim().parse::<u32>().unwrap()
    });
    ranges.flatten().map(|core| core.to_string()).collect()
}

/// How many files this process may have open.
pub fn open_files() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3));
    soft.and_then(|soft| soft.parse().ok()).unwrap_or(1024)
}

/// One line about the machine.
pub fn describe() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut models = BTreeMap::new();
    for line in cpus.lines().filter(|line| line.starts_with("model name")) {
        let model = line.split_once(':').map_or("", |(_, model)| model.trim());
        *models.entry(model).or_insert(0) += 1;
    }
    let cores: Vec<String> = models
        .iter()
        .map(|(model, count)| format!("{count} x {model}"))
        .collect();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{}, Linux {}", cores.join(", "), kernel.trim())
}

/// What follows `name` on its line of a file in `/proc`.
pub fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

/// Has this thread's sleeps end when they should, and not 50 us later. What the thread starts
/// inherits that, so it is for threads that start nothing.
pub fn sharpen_timer() {
    let sharpen = || -> io::Result<()> {
        let thread = fs::read_link("/proc/thread-self")?;
        let id = thread.file_name().unwrap_or_default();
        fs::write(
            fs::canonicalize("/proc")?.join(id).join("timerslack_ns"),
            "1",
        )
    };
    if let Err(error) = sharpen() {
        eprintln!("load: sleeps are less exact: {error}");
    }
}
