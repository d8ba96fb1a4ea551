//! How requests to upstreams went, as `llmserver` publishes it.

use std::fmt;

use messages::upstreams::{UpstreamBoard, UpstreamFigures};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::page::{Page, label};

/// The upstreams that the settings name, as of one moment.
#[derive(Debug)]
pub(super) struct Upstreams(Vec<UpstreamFigures>);

impl Upstreams {
    pub(super) fn of(board: &UpstreamBoard) -> Self {
        let mut figures = board.figures();
        for one in &mut figures {
            one.name = label(&one.name);
        }
        Self(figures)
    }

    /// One figure of each upstream.
    fn each(&self, figure: impl Fn(&UpstreamFigures) -> u64) -> Vec<([(&str, &str); 1], u64)> {
        let upstreams = self.0.iter();
        upstreams
            .map(|one| ([("upstream", one.name.as_str())], figure(one)))
            .collect()
    }
}

impl Collector for Upstreams {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page::new(encoder);
        let outcomes = self.0.iter().flat_map(|one| {
            let upstream = ("upstream", one.name.as_str());
            let outcomes = one.outcomes.iter();
            outcomes.map(move |(outcome, count)| ([upstream, ("outcome", *outcome)], *count))
        });
        page.counters(
            "bkg_upstream_requests",
            "Requests to upstreams by what became of them; a stream counts when it ends",
            outcomes,
        )?;
        page.counters(
            "bkg_upstream_retries",
            "Requests to an upstream that followed a failed one of the same call, there or elsewhere",
            self.each(|one| one.retries),
        )?;
        page.gauges(
            "bkg_upstream_breaker_open",
            "1 from where an upstream has failed again and again until it answers",
            self.each(|one| u64::from(one.breaker_open)),
        )
    }
}
