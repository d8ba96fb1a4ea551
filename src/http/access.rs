//! The line that each request leaves in the log, with what is known of it as pairs.

use log::{
    Level, Record,
    kv::{self, Key, Source, Value, VisitSource},
};

use super::tally::Ended;

/// Writes the line of a request that has ended.
pub(crate) fn log(ended: &Ended) {
    let target = module_path!();
    if !log::log_enabled!(target: target, Level::Info) {
        return;
    }
    let (facts, status) = (&ended.facts, ended.status);
    let line = Line {
        ended,
        took_ms: tenths(ended.took.as_secs_f64() * 1e3),
    };
    log::logger().log(
        &Record::builder()
            .level(Level::Info)
            .target(target)
            .module_path_static(Some(target))
            .key_values(&line)
            .args(format_args!(
                "{} {} {status} {:.1} ms",
                facts.method, facts.path, line.took_ms
            ))
            .build(),
    );
}

/// The pairs of a request's line; what is not known is left out.
struct Line<'a> {
    ended: &'a Ended,
    took_ms: f64,
}

impl Source for Line<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), kv::Error> {
        let (ended, facts) = (self.ended, &self.ended.facts);
        let mut pair = |key, value| visitor.visit_pair(Key::from_str(key), value);
        pair("request_id", Value::from(&*facts.request_id))?;
        if let Some(about) = &facts.about {
            pair("trace_id", Value::from_display(&about.trace_id))?;
        }
        pair("method", Value::from(facts.method.as_str()))?;
        pair("path", Value::from(facts.path.as_str()))?;
        if let Some(route) = &facts.route {
            pair("route", Value::from(route.as_str()))?;
        }
        pair("status", Value::from(ended.status))?;
        pair("took_ms", Value::from(self.took_ms))?;
        pair("bytes", Value::from(ended.bytes))?;
        if let Some(address) = &facts.address {
            pair("address", Value::from_dyn_display(address))?;
        }
        if let Some(caller) = &facts.caller {
            pair("caller", Value::from(caller.id.as_str()))?;
        }
        if let Some(model) = &facts.model {
            pair("model", Value::from(&**model))?;
            pair("prompt_tokens", Value::from(facts.prompt_tokens))?;
            pair("completion_tokens", Value::from(facts.completion_tokens))?;
        }
        Ok(())
    }
}

fn tenths(millis: f64) -> f64 {
    (millis * 10.0).round() / 10.0
}
