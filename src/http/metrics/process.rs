//! The process, under the names that Prometheus' own clients use.

use std::fmt;

use procfs::{ProcResult, WithCurrentSystemInfo, process};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::page::Page;

/// This process, read at each scrape.
#[derive(Debug)]
pub(super) struct Process;

struct Figures {
    cpu_seconds: f64,
    start_seconds: f64,
    resident: u64,
    virtual_size: u64,
    threads: u64,
    open_files: u64,
    file_limit: Option<u64>,
}

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // Without /proc the rest is told all the same.
        match figures() {
            Ok(figures) => write(&mut Page::new(encoder), &figures),
            Err(error) => {
                log::debug!("/proc: {error}");
                Ok(())
            }
        }
    }
}

fn figures() -> ProcResult<Figures> {
    let this = process::Process::myself()?;
    let (stat, limits) = (this.stat()?, this.limits()?);
    let seconds = |ticks: u64| as_float(ticks) / as_float(procfs::ticks_per_second());
    Ok(Figures {
        cpu_seconds: seconds(stat.utime + stat.stime),
        start_seconds: as_float(procfs::boot_time_secs()?) + seconds(stat.starttime),
        resident: stat.rss_bytes().get(),
        virtual_size: stat.vsize,
        threads: u64::try_from(stat.num_threads).unwrap_or_default(),
        open_files: u64::try_from(this.fd_count()?).unwrap_or(u64::MAX),
        file_limit: match limits.max_open_files.soft_limit {
            process::LimitValue::Value(most) => Some(most),
            process::LimitValue::Unlimited => None,
        },
    })
}

fn write(page: &mut Page<'_>, figures: &Figures) -> fmt::Result {
    page.counter(
        "process_cpu_seconds",
        "Processor time, user and system, in seconds",
        figures.cpu_seconds,
    )?;
    page.gauge(
        "process_start_time_seconds",
        "When the process started, in Unix seconds",
        figures.start_seconds,
    )?;
    page.gauge(
        "process_resident_memory_bytes",
        "Resident memory, in bytes",
        figures.resident,
    )?;
    page.gauge(
        "process_virtual_memory_bytes",
        "Virtual memory, in bytes",
        figures.virtual_size,
    )?;
    page.gauge("process_threads", "Threads", figures.threads)?;
    page.gauge(
        "process_open_fds",
        "Open file descriptors",
        figures.open_files,
    )?;
    match figures.file_limit {
        Some(most) => page.gauge("process_max_fds", "Most file descriptors", most),
        None => Ok(()),
    }
}

#[expect(
    clippy::as_conversions,
    reason = "the standard library has no other way; seconds are far below 2^52"
)]
fn as_float(count: u64) -> f64 {
    count as f64
}
