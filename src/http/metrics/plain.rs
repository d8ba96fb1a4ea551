//! The page in the older text format, for those who read no OpenMetrics, such as `promtool check
//! metrics`.

use std::collections::HashSet;

use actix_web::{HttpRequest, http::header::ACCEPT};

/// The format's name.
pub(super) const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether a reader asks for it; one that takes OpenMetrics too gets that.
pub(super) fn is_wanted(request: &HttpRequest) -> bool {
    let accepts = request.headers().get(ACCEPT);
    let accepts = accepts.and_then(|accepts| accepts.to_str().ok());
    accepts.is_some_and(|kinds| kinds.contains("text/plain") && !kinds.contains("openmetrics"))
}

/// A page of OpenMetrics in the older format, which describes a counter by its whole name.
pub(super) fn rewrite(page: &str) -> String {
    let described = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let counters = described.filter_map(|line| line.strip_suffix(" counter"));
    let counters: HashSet<&str> = counters.collect();
    let lines = page.lines().filter(|line| *line != "# EOF");
    let lines = lines.map(|line| {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", what, name, rest] if counters.contains(name) => {
                format!("# {what} {name}_total {rest}\n")
            }
            _ => format!("{line}\n"),
        }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_described_by_its_whole_name_and_nothing_else_changes() {
        let page = "# HELP a Some # TYPE b counter.\n# TYPE a counter\na_total{x=\"y z\"} 1\n\
            # HELP ab c\n# TYPE ab gauge\nab 2\n# EOF\n";
        let expected = "# HELP a_total Some # TYPE b counter.\n# TYPE a_total counter\n\
            a_total{x=\"y z\"} 1\n# HELP ab c\n# TYPE ab gauge\nab 2\n";
        assert_eq!(rewrite(page), expected);
    }
}
