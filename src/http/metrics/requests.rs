//! HTTP requests, counted as they end.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::{
    models::Models,
    page::{Page, Spread},
};
use crate::http::tally::{CLIENT_CLOSED, Ended};

/// What a label says of whatever is not worth a series of its own.
pub(super) const OTHER: &str = "other";

/// Most series of requests. Routes, methods and statuses are few, but someone may try them all.
const MOST_SERIES: usize = 400;
/// Most routes told apart; the gateway has fewer, as a rule.
const MOST_ROUTES: usize = 80;

/// Methods that have a label of their own.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Upper bounds of the buckets of answer times, in seconds. Streams are answers too.
const BOUNDS: [f64; 9] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, f64::MAX];

/// Requests under way and requests that have ended.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    under_way: AtomicU64,
    ended: Mutex<Counts>,
}

#[derive(Debug, Default, Clone)]
struct Counts {
    routes: HashMap<String, Route>,
    series: usize,
    models: Models,
}

#[derive(Debug, Default, Clone)]
struct Route {
    /// By method and status; few, so that looking through them is quickest.
    outcomes: Vec<(&'static str, Status, u64)>,
    took: f64,
    buckets: [u64; BOUNDS.len()],
}

/// The status that was sent; none stands for several.
type Status = Option<u16>;

impl Requests {
    /// A request has come.
    pub(crate) fn begin(&self) {
        self.under_way.fetch_add(1, Relaxed);
    }

    /// A request has ended.
    pub(crate) fn count(&self, ended: &Ended) {
        self.under_way.fetch_sub(1, Relaxed);
        self.lock().count(ended);
    }

    /// The figures as of now.
    pub(super) fn figures(&self) -> Figures {
        Figures {
            under_way: self.under_way.load(Relaxed),
            ended: self.lock().clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn count(&mut self, ended: &Ended) {
        let facts = &ended.facts;
        let method = METHODS.iter().find(|known| **known == facts.method);
        let outcome = (method.copied().unwrap_or(OTHER), Some(ended.status));
        let (full, seconds) = (self.series >= MOST_SERIES, ended.took.as_secs_f64());
        let add = |route: &mut Route| {
            route.time(seconds);
            route.count(outcome, full)
        };
        let name = self.route_label(facts.route.as_deref());
        let new = match self.routes.get_mut(name) {
            Some(route) => add(route),
            None => add(self.routes.entry(name.to_owned()).or_default()),
        };
        self.series += usize::from(new);
        self.models.count(ended);
    }

    fn route_label<'a>(&self, route: Option<&'a str>) -> &'a str {
        let room = self.routes.len() < MOST_ROUTES;
        let own = route.filter(|route| room || self.routes.contains_key(*route));
        own.unwrap_or(OTHER)
    }
}

impl Route {
    /// Counts one outcome, under `other` where it would be new and there is no room; answers
    /// whether it was new.
    fn count(&mut self, (method, status): (&'static str, Status), full: bool) -> bool {
        if self.add(method, status) {
            return false;
        }
        if full && self.add(OTHER, None) {
            return false;
        }
        let new = if full {
            (OTHER, None, 1)
        } else {
            (method, status, 1)
        };
        self.outcomes.push(new);
        !full
    }

    fn add(&mut self, method: &str, status: Status) -> bool {
        let mut outcomes = self.outcomes.iter_mut();
        let known = outcomes.find(|known| known.0 == method && known.1 == status);
        known.map(|known| known.2 += 1).is_some()
    }

    fn time(&mut self, seconds: f64) {
        self.took += seconds;
        let mut buckets = BOUNDS.iter().zip(&mut self.buckets);
        if let Some((_, bucket)) = buckets.find(|(bound, _)| seconds <= **bound) {
            *bucket += 1;
        }
    }

    fn spread(&self) -> Spread {
        Spread {
            sum: self.took,
            count: self.buckets.iter().sum(),
            buckets: BOUNDS.into_iter().zip(self.buckets).collect(),
        }
    }
}

fn status_label(status: Status) -> String {
    match status {
        None => OTHER.to_owned(),
        Some(CLIENT_CLOSED) => "client_closed".to_owned(),
        Some(status) => status.to_string(),
    }
}

/// What has been counted, as of one moment.
#[derive(Debug)]
pub(super) struct Figures {
    under_way: u64,
    ended: Counts,
}

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page::new(encoder);
        page.gauge(
            "bkg_http_requests_in_flight",
            "Requests whose answer has not ended",
            self.under_way,
        )?;
        let routes = &self.ended.routes;
        let outcomes = routes.iter().flat_map(|(name, route)| {
            route.outcomes.iter().map(move |(method, status, count)| {
                let status = status_label(*status);
                let labels = [
                    ("method", (*method).to_owned()),
                    ("route", name.clone()),
                    ("status", status),
                ];
                (labels, *count)
            })
        });
        page.counters("bkg_http_requests", "Requests that have ended", outcomes)?;
        let took = routes
            .iter()
            .map(|(name, route)| ([("route", name.as_str())], route.spread()));
        page.histograms(
            "bkg_http_request_duration_seconds",
            "From a request's head to the end of its answer, streams included",
            took,
        )?;
        self.ended.models.encode(&mut page)
    }
}

#[cfg(test)]
mod tests;
