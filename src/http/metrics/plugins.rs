//! The plugins and their calls, as they are published.

use std::fmt;

use messages::{
    histogram::Buckets,
    line::Directory,
    plugin::{PluginState, Status},
    traffic::TrafficFigures,
};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::page::{Page, Spread};

/// Upper bounds of the buckets of call times: two to this power, in microseconds.
const BITS: [usize; 7] = [7, 10, 13, 16, 19, 22, 25];

/// All plugins, as of one moment.
#[derive(Debug)]
pub(super) struct Plugins {
    states: Vec<PluginState>,
    traffic: Vec<(String, TrafficFigures)>,
}

impl Plugins {
    pub(super) fn of(directory: &Directory) -> Self {
        Self {
            states: directory.states(),
            traffic: directory.traffic(),
        }
    }

    /// One figure of each plugin.
    fn each(&self, figure: impl Fn(&PluginState) -> u64) -> Vec<([(&str, &str); 1], u64)> {
        let states = self.states.iter();
        states
            .map(|state| ([("plugin", state.name.as_str())], figure(state)))
            .collect()
    }

    /// One figure of each capability.
    fn each_capability<T>(
        &self,
        figure: impl Fn(&TrafficFigures) -> T,
    ) -> Vec<([(&str, &str); 2], T)> {
        let traffic = self.traffic.iter();
        traffic
            .map(|(plugin, traffic)| (labels(plugin, traffic), figure(traffic)))
            .collect()
    }

    fn encode_states(&self, page: &mut Page<'_>) -> fmt::Result {
        let states = self.states.iter().flat_map(|state| {
            STATUSES.into_iter().map(|(status, name)| {
                let labels = [("plugin", state.name.as_str()), ("state", name)];
                (labels, u64::from(state.state == status))
            })
        });
        page.gauges("bkg_plugin_state", "1 for the state a plugin is in", states)?;
        page.gauges(
            "bkg_plugin_generation",
            "Lives that a plugin has had",
            self.each(|state| state.generation),
        )?;
        page.counters(
            "bkg_plugin_restarts",
            "Lives that the supervisor began by itself",
            self.each(|state| state.restarts),
        )?;
        page.counters(
            "bkg_plugin_panics",
            "Panics that cost one call and not the plugin's state",
            self.each(|state| state.calls.panics),
        )?;
        page.gauges(
            "bkg_plugin_hanging",
            "1 while a plugin's thread leaves a probe unanswered",
            self.each(|state| u64::from(state.hanging)),
        )?;
        let told = self.states.iter().filter_map(|state| {
            let labels = [("plugin", state.name.as_str())];
            Some((labels, state.memory_bytes?))
        });
        page.gauges(
            "bkg_plugin_memory_bytes",
            "What a plugin holds in memory by its own account",
            told,
        )?;
        page.gauges(
            "bkg_plugin_calls_in_flight",
            "Calls at work, streams included",
            self.each(|state| state.calls.in_flight),
        )
    }

    fn encode_calls(&self, page: &mut Page<'_>) -> fmt::Result {
        let outcomes = self.traffic.iter().flat_map(|(plugin, traffic)| {
            outcomes(traffic).into_iter().map(move |(outcome, count)| {
                let [plugin, capability] = labels(plugin, traffic);
                ([plugin, capability, ("outcome", outcome)], count)
            })
        });
        page.counters("bkg_calls", "Calls by what became of them", outcomes)?;
        page.histograms(
            "bkg_call_duration_seconds",
            "From a call to its answer; for a stream, to its beginning",
            self.each_capability(|traffic| spread(&traffic.latency)),
        )?;
        page.gauges(
            "bkg_call_permits",
            "Calls that may be at work at the same time",
            self.each_capability(|traffic| count(traffic.permits)),
        )?;
        page.gauges(
            "bkg_call_permits_taken",
            "Permits that calls at work hold",
            self.each_capability(|traffic| count(traffic.permits_taken)),
        )
    }
}

impl Collector for Plugins {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page::new(encoder);
        self.encode_states(&mut page)?;
        self.encode_calls(&mut page)
    }
}

const STATUSES: [(Status, &str); 7] = [
    (Status::Disabled, "disabled"),
    (Status::Stopped, "stopped"),
    (Status::Starting, "starting"),
    (Status::Running, "running"),
    (Status::Restarting, "restarting"),
    (Status::Stopping, "stopping"),
    (Status::Failed, "failed"),
];

fn labels<'a>(plugin: &'a str, traffic: &'a TrafficFigures) -> [(&'static str, &'a str); 2] {
    [("plugin", plugin), ("capability", traffic.capability)]
}

fn outcomes(traffic: &TrafficFigures) -> [(&'static str, u64); 6] {
    let counts = &traffic.counts;
    [
        ("served", counts.served),
        ("refused", counts.refused),
        ("rejected", counts.rejected),
        ("failed", counts.failed),
        ("timed_out", counts.timed_out),
        ("cancelled", counts.cancelled),
    ]
}

fn spread(latency: &Buckets) -> Spread {
    let mut before = 0;
    let mut buckets: Vec<(f64, u64)> = BITS
        .into_iter()
        .map(|bits| {
            let below = latency.below(bits);
            let here = below - before;
            before = below;
            (seconds(bits), here)
        })
        .collect();
    let count = latency.count();
    buckets.push((f64::MAX, count - before));
    Spread {
        sum: latency.sum().as_secs_f64(),
        count,
        buckets,
    }
}

fn seconds(bits: usize) -> f64 {
    let micros = 1_u64.checked_shl(u32::try_from(bits).unwrap_or(u32::MAX));
    std::time::Duration::from_micros(micros.unwrap_or(u64::MAX)).as_secs_f64()
}

fn count(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
