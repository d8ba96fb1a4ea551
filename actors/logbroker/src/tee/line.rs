//! A record as a line on standard error: text for people, or JSON for programs.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use env_logger::fmt::Formatter;
use log::{
    Level, Record,
    kv::{self, Key, Source, Value, VisitSource},
};
use messages::{about::About, log_record::LogRecord};
use serde_json::{Map, Value as Json};

use crate::escape::escape;

/// How lines are written to standard error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: each line is one JSON object.
    Json,
}

/// What the message of a request's line says already, for people; `took_ms` tells such a line.
const SAID: [&str; 5] = ["method", "path", "route", "status", "took_ms"];

/// Names in a JSON line that are the record's own.
const OWN: [&str; 5] = ["ts", "level", "plugin", "message", "target"];

/// What a line of a request carries, whoever writes it.
const ABOUT: [&str; 2] = ["request_id", "trace_id"];

impl Format {
    /// Writes `shown`; its `pairs` once more, as they were logged, because numbers are numbers in
    /// JSON.
    pub(super) fn print(
        self,
        out: &mut Formatter,
        shown: &LogRecord,
        level: Level,
        pairs: &dyn Source,
    ) -> io::Result<()> {
        match self {
            Self::Text => print_text(out, shown, level),
            Self::Json => print_json(out, shown, pairs),
        }
    }
}

fn print_text(out: &mut Formatter, shown: &LogRecord, level: Level) -> io::Result<()> {
    let style = out.default_level_style(level);
    let (time, message) = (shown.ts, &shown.message);
    write!(
        out,
        "{time:.3} {style}{level:<5}{style:#} {} {message}",
        shown.plugin
    )?;
    let is_request = shown.fields.contains_key("took_ms");
    for (name, value) in &shown.fields {
        let said = is_request && SAID.contains(&name.as_str());
        if name != "target" && !said {
            write!(out, " {name}={value}")?;
        }
    }
    writeln!(out)
}

fn print_json(out: &mut Formatter, shown: &LogRecord, pairs: &dyn Source) -> io::Result<()> {
    let mut line = Pairs(Map::new());
    let own: [Json; 5] = [
        format!("{:.3}", shown.ts).into(),
        serde_json::to_value(shown.level)?,
        (*shown.plugin).into(),
        shown.message.as_str().into(),
        shown.fields.get("target").map_or("", String::as_str).into(),
    ];
    let own = OWN.into_iter().zip(own);
    line.0
        .extend(own.map(|(name, value)| (name.to_owned(), value)));
    // Collecting into a map cannot fail.
    drop(pairs.visit(&mut line));
    for (name, value) in ABOUT
        .iter()
        .filter_map(|name| shown.fields.get_key_value(*name))
    {
        let told = line.0.entry(name.as_str());
        told.or_insert_with(|| value.as_str().into());
    }
    serde_json::to_writer(&mut *out, &line.0)?;
    writeln!(out)
}

/// The pairs of a record, with numbers as numbers.
struct Pairs(Map<String, Json>);

impl<'kvs> VisitSource<'kvs> for Pairs {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let name = match key.as_str() {
            "plugin" => return Ok(()),
            own if OWN.contains(&own) => format!("{own}_"),
            name => escape(name),
        };
        self.0.insert(name, json(&value));
        Ok(())
    }
}

fn json(value: &Value<'_>) -> Json {
    let whole = || value.to_u64().map(Json::from);
    let signed = || value.to_i64().map(Json::from);
    let number = || value.to_f64().map(Json::from);
    let yes_or_no = || value.to_bool().map(Json::from);
    whole()
        .or_else(signed)
        .or_else(number)
        .or_else(yes_or_no)
        .unwrap_or_else(|| escape(&value.to_string()).into())
}

/// The pairs that were logged with a record, its target, and the request that it is about.
pub(super) fn fields(record: &Record<'_>) -> BTreeMap<String, String> {
    let target = ("target".to_owned(), escape(record.target()));
    let mut fields = Fields(BTreeMap::from([target]));
    // Collecting into a map cannot fail.
    drop(record.key_values().visit(&mut fields));
    let mut fields = fields.0;
    if let Some(about) = About::now() {
        let values = [about.request_id.to_string(), about.trace_id.to_string()];
        for (name, value) in ABOUT.into_iter().zip(values) {
            let told = fields.entry(name.to_owned());
            told.or_insert_with(|| escape(&value));
        }
    }
    fields
}

struct Fields(BTreeMap<String, String>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        if key.as_str() != "plugin" {
            let value = escape(&value.to_string());
            self.0.insert(escape(key.as_str()), value);
        }
        Ok(())
    }
}
