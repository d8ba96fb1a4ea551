//! Spans in OTLP's own words.

use messages::trace::{Attribute, SpanKind};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, SpanFlags, Status, span::SpanKind as Kind,
        status::StatusCode,
    },
};
use prost::Message;

use super::Finished;

/// Most spans of one request to the collector.
pub(super) const MOST: usize = 512;

/// The bytes of a request that tells of `spans`, done by `service`.
pub(super) fn encode(spans: &[Finished], service: &str) -> Vec<u8> {
    let scope = InstrumentationScope {
        name: "bkg".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![
                    pair("service.name", text(service)),
                    pair("service.version", text(env!("CARGO_PKG_VERSION"))),
                ],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope),
                spans: spans.iter().map(span).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    request.encode_to_vec()
}

fn span(finished: &Finished) -> Span {
    let span = &finished.span;
    let took = span.ended.saturating_duration_since(span.started);
    let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    let told = span.attributes.iter();
    let mut attributes: Vec<_> = told.map(|(name, value)| pair(name, any(value))).collect();
    let plugin = span
        .plugin
        .iter()
        .map(|plugin| pair("bkg.plugin", text(plugin)));
    attributes.extend(plugin);
    let error = span
        .error
        .iter()
        .map(|error| pair("error.type", text(error)));
    attributes.extend(error);
    Span {
        trace_id: finished.trace.bytes().to_vec(),
        span_id: span.id.bytes().to_vec(),
        parent_span_id: span.parent.map_or_else(Vec::new, |id| id.bytes().to_vec()),
        flags: flags(span.kind),
        name: span.name.to_string(),
        kind: i32::from(kind(span.kind)),
        start_time_unix_nano: finished.started,
        end_time_unix_nano: finished.started.saturating_add(took),
        attributes,
        status: span.error.as_ref().map(|_| Status {
            code: StatusCode::Error.into(),
            ..Status::default()
        }),
        ..Span::default()
    }
}

/// Sampled, as all that are sent; and whether the span above is another process's.
fn flags(kind: SpanKind) -> u32 {
    let known = 1 | bits(SpanFlags::ContextHasIsRemoteMask);
    match kind {
        SpanKind::Server => known | bits(SpanFlags::ContextIsRemoteMask),
        SpanKind::Internal | SpanKind::Client => known,
    }
}

fn bits(flag: SpanFlags) -> u32 {
    i32::from(flag).cast_unsigned()
}

fn kind(kind: SpanKind) -> Kind {
    match kind {
        SpanKind::Server => Kind::Server,
        SpanKind::Internal => Kind::Internal,
        SpanKind::Client => Kind::Client,
    }
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

fn any(value: &Attribute) -> Value {
    match value {
        Attribute::Text(told) => text(told),
        Attribute::Number(number) => Value::IntValue(i64::try_from(*number).unwrap_or(i64::MAX)),
        Attribute::Texts(texts) => Value::ArrayValue(ArrayValue {
            values: texts
                .iter()
                .map(|one| AnyValue {
                    value: Some(text(one)),
                })
                .collect(),
        }),
    }
}
