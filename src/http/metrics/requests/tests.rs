//! What callers send makes few series, and nothing that ends is left out.

use std::time::Duration;

use prometheus_client::{encoding::text::encode, registry::Registry};

use super::*;
use crate::http::tally::Facts;

fn ended(method: &str, route: Option<&str>, status: u16, model: Option<&str>) -> Ended {
    Ended {
        facts: Facts {
            method: method.to_owned(),
            route: route.map(str::to_owned),
            model: model.map(Into::into),
            prompt_tokens: 3,
            completion_tokens: 2,
            ..Facts::default()
        },
        status,
        took: Duration::from_millis(3),
        bytes: 0,
    }
}

/// The lines that are values.
fn written(requests: &Requests) -> Vec<String> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(requests.figures()));
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

fn counted(lines: &[String], name: &str) -> u64 {
    let values = lines.iter().filter(|line| line.starts_with(name));
    let value = |line: &String| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    values.map(value).sum()
}

#[test]
fn routes_methods_and_models_that_nobody_knows_make_no_series() {
    let requests = Requests::default();
    for n in 0..5_000_u16 {
        requests.begin();
        let (method, route, model) = (format!("M{n}"), format!("/r/{n}"), format!("m-{n}"));
        let status = 200 + n % 400;
        requests.count(&ended(&method, Some(&route), status, Some(&model)));
    }
    let lines = written(&requests);
    assert!(lines.len() < 2_700, "{}", lines.len());
    assert_eq!(counted(&lines, "bkg_http_requests_total"), 5_000);
    let count = "bkg_http_request_duration_seconds_count";
    assert_eq!(counted(&lines, count), 5_000);
    assert_eq!(counted(&lines, "bkg_llm_tokens_total"), 5_000 * 5);
    assert_eq!(counted(&lines, "bkg_http_requests_in_flight"), 0);
    assert!(!lines.iter().any(|line| line.contains("\"M")));
}

#[test]
fn a_request_is_counted_by_method_route_and_status() {
    let requests = Requests::default();
    for status in [200, 200, CLIENT_CLOSED] {
        requests.begin();
        requests.count(&ended("GET", Some("/v1/models/{model}"), status, None));
    }
    requests.begin();
    let lines = written(&requests);
    let series = |status: &str| {
        format!(
            "bkg_http_requests_total{{method=\"GET\",route=\"/v1/models/{{model}}\",status=\"{status}\"}}"
        )
    };
    assert_eq!(counted(&lines, &series("200")), 2);
    assert_eq!(counted(&lines, &series("client_closed")), 1);
    assert_eq!(counted(&lines, "bkg_http_requests_in_flight"), 1);
    let bucket = "bkg_http_request_duration_seconds_bucket{le=\"0.001\"";
    assert_eq!(counted(&lines, bucket), 0);
    let bucket = "bkg_http_request_duration_seconds_bucket{le=\"0.005\"";
    assert_eq!(counted(&lines, bucket), 3);
}

#[test]
fn tokens_beyond_all_counting_stay_at_the_most() {
    let requests = Requests::default();
    for _ in 0..2 {
        requests.begin();
        let mut ended = ended("POST", Some("/v1/embeddings"), 200, Some("big"));
        ended.facts.prompt_tokens = u64::MAX;
        requests.count(&ended);
    }
    let prompt = "bkg_llm_tokens_total{model=\"big\",kind=\"prompt\"}";
    assert_eq!(counted(&written(&requests), prompt), u64::MAX);
}
