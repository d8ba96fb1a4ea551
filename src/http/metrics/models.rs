//! What each model was asked and how fast it answered.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{
    page::{Page, Spread, label},
    requests::OTHER,
};
use crate::http::tally::{CLIENT_CLOSED, Ended, Facts};

/// Most models told apart; the gateway has fewer, as a rule.
const MOST: usize = 40;

/// What becomes of a request, as calls have it too.
const OUTCOMES: [&str; 6] = [
    "served",
    "rejected",
    "refused",
    "failed",
    "timed_out",
    "cancelled",
];

/// Upper bounds of the buckets of the time to the first token, in seconds.
const FIRST: [f64; 9] = [0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, f64::MAX];
/// The same of the time for each further token.
const FURTHER: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, f64::MAX];

/// All models that have been asked.
#[derive(Debug, Default, Clone)]
pub(super) struct Models(BTreeMap<String, Model>);

#[derive(Debug, Clone)]
struct Model {
    prompt: u64,
    completion: u64,
    outcomes: [u64; OUTCOMES.len()],
    first: Times,
    further: Times,
}

/// How long something took, time and again.
#[derive(Debug, Clone)]
struct Times {
    bounds: [f64; 9],
    counts: [u64; 9],
    sum: f64,
}

impl Models {
    /// Counts a request that has ended, where a model was asked.
    pub(super) fn count(&mut self, ended: &Ended) {
        let Some(model) = &ended.facts.model else {
            return;
        };
        let model: &str = model;
        let room = self.0.len() < MOST || self.0.contains_key(model);
        let name = if room { model } else { OTHER };
        match self.0.get_mut(name) {
            Some(known) => known.count(ended),
            None => self.0.entry(name.to_owned()).or_default().count(ended),
        }
    }

    pub(super) fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        let tokens =
            self.each(|model| [("prompt", model.prompt), ("completion", model.completion)]);
        page.counters(
            "bkg_llm_tokens",
            "Tokens read and written by models",
            tokens.map(|(model, (kind, count))| ([("model", model), ("kind", kind.into())], count)),
        )?;
        let outcomes = self.each(|model| OUTCOMES.into_iter().zip(model.outcomes));
        page.counters(
            "bkg_model_requests",
            "Requests to models by what became of them; a stream counts when it ends",
            outcomes.map(|(model, (outcome, count))| {
                ([("model", model), ("outcome", outcome.into())], count)
            }),
        )?;
        page.histograms(
            "bkg_model_time_to_first_token_seconds",
            "From a request's head to the first piece of its stream that says something",
            self.each(|model| [model.first.spread()])
                .map(|(model, spread)| ([("model", model)], spread)),
        )?;
        page.histograms(
            "bkg_model_time_per_output_token_seconds",
            "The time from a stream's first token to its last, for each token after the first",
            self.each(|model| [model.further.spread()])
                .map(|(model, spread)| ([("model", model)], spread)),
        )
    }

    /// Some figures of each model, with its name.
    fn each<'a, T: 'a, I: IntoIterator<Item = T> + 'a>(
        &'a self,
        figures: impl Fn(&Model) -> I + 'a,
    ) -> impl Iterator<Item = (String, T)> + 'a {
        self.0.iter().flat_map(move |(name, model)| {
            let name = label(name);
            figures(model)
                .into_iter()
                .map(move |figure| (name.clone(), figure))
        })
    }
}

impl Default for Model {
    fn default() -> Self {
        Self {
            prompt: 0,
            completion: 0,
            outcomes: [0; OUTCOMES.len()],
            first: Times::within(FIRST),
            further: Times::within(FURTHER),
        }
    }
}

impl Model {
    fn count(&mut self, ended: &Ended) {
        let facts = &ended.facts;
        self.prompt = self.prompt.saturating_add(facts.prompt_tokens);
        self.completion = self.completion.saturating_add(facts.completion_tokens);
        let own = outcome(ended);
        let mut outcomes = OUTCOMES.iter().zip(&mut self.outcomes);
        if let Some((_, count)) = outcomes.find(|(outcome, _)| **outcome == own) {
            *count += 1;
        }
        if let Some(first) = facts.first_piece {
            self.first.add(first);
        }
        if let Some(each) = per_token(facts) {
            self.further.add(each);
        }
    }
}

impl Times {
    fn within(bounds: [f64; 9]) -> Self {
        Self {
            bounds,
            counts: [0; 9],
            sum: 0.0,
        }
    }

    fn add(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        self.sum += seconds;
        let mut buckets = self.bounds.iter().zip(&mut self.counts);
        if let Some((_, count)) = buckets.find(|(bound, _)| seconds <= **bound) {
            *count += 1;
        }
    }

    fn spread(&self) -> Spread {
        Spread {
            sum: self.sum,
            count: self.counts.iter().sum(),
            buckets: self.bounds.into_iter().zip(self.counts).collect(),
        }
    }
}

fn outcome(ended: &Ended) -> &'static str {
    match ended.status {
        _ if ended.facts.broke_off.is_some() => "failed",
        CLIENT_CLOSED => "cancelled",
        504 => "timed_out",
        429 | 503 => "refused",
        500.. => "failed",
        400.. => "rejected",
        _ => "served",
    }
}

/// The time of each token of a stream after the first.
fn per_token(facts: &Facts) -> Option<Duration> {
    let between = facts.last_piece?.checked_sub(facts.first_piece?)?;
    let further = facts.completion_tokens.checked_sub(1)?;
    between.checked_div(u32::try_from(further).ok()?)
}
