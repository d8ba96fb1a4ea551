//! What `docker/` brings for Prometheus and Grafana: it asks for metrics that there are.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

use crate::gateway::workspace;

fn file(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The metrics of the reference, which another test holds to the program.
fn known() -> BTreeSet<String> {
    let page = file("docs/reference/metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut known = BTreeSet::new();
    for row in rows {
        let (name, rest) = row.split_once('`').unwrap();
        match rest.starts_with(" | histogram") {
            true => known.extend(["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}"))),
            false => drop(known.insert(name.to_owned())),
        }
    }
    assert!(known.len() > 20, "{known:?}");
    known
}

/// Every name in an expression that could be one of ours.
fn asked(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("bkg_") || word.starts_with("process_"))
}

/// The values of every field of this name.
fn fields<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(entries) => {
            found.extend(entries.get(name).and_then(Value::as_str));
            entries
                .values()
                .for_each(|value| fields(value, name, found));
        }
        Value::Array(items) => items.iter().for_each(|value| fields(value, name, found)),
        _ => (),
    }
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_metrics_that_exist() {
    let dashboard: Value =
        serde_json::from_str(&file("docker/grafana/dashboards/bkg.json")).unwrap();
    let mut expressions = Vec::new();
    fields(&dashboard, "expr", &mut expressions);
    assert!(expressions.len() > 20, "{expressions:?}");
    let rules = file("docker/prometheus/bkg.rules.yml");
    let told = rules.lines().filter(|line| !line.contains("description:"));
    let rules: Vec<&str> = told.collect();
    assert!(rules.iter().any(|line| line.contains("alert: BkgDown")));
    let known = known();
    for expression in expressions.into_iter().chain(rules) {
        for name in asked(expression) {
            assert!(known.contains(name), "{name} in {expression}");
        }
    }
}

#[test]
fn prometheus_takes_its_configuration_and_the_alerts_speak_when_they_should() {
    let folder = workspace().join("docker/prometheus");
    for arguments in [
        &["check", "config", "--syntax-only", "prometheus.yml"][..],
        &["check", "config", "--syntax-only", "prometheus.staging.yml"],
        &["check", "rules", "bkg.rules.yml"],
        &["test", "rules", "bkg.rules.test.yml"],
    ] {
        let mut promtool = Command::new("promtool");
        let output = match promtool.args(arguments).current_dir(&folder).output() {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("SKIPPED: no promtool; Debian's package prometheus has it");
                return;
            }
            Err(error) => panic!("promtool: {error}"),
        };
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}
