//! The report: what was measured in each round, and a table of it.

use std::collections::BTreeMap;

use crate::figures::Figures;

/// What was measured of whom; a value a round.
type Cells = BTreeMap<&'static str, Vec<f64>>;

/// The columns, in their order.
const COLUMNS: [&str; 4] = ["direct", "bkg", "TensorZero", "LiteLLM"];

/// What was measured.
#[derive(Default)]
pub struct Sheet {
    rows: Vec<(&'static str, &'static str, Cells)>,
    failures: Vec<(&'static str, String)>,
}

impl Sheet {
    /// Adds what one round of `scenario` has found.
    pub fn note(
        &mut self,
        scenario: &'static str,
        what: &'static str,
        target: &'static str,
        value: f64,
    ) {
        let known = |row: &(&str, &str, Cells)| row.0 == scenario && row.1 == what;
        let place = self.rows.iter().position(known).unwrap_or_else(|| {
            self.rows.push((scenario, what, Cells::new()));
            self.rows.len() - 1
        });
        self.rows[place].2.entry(target).or_default().push(value);
    }

    /// Adds the requests that failed.
    pub fn fail(&mut self, scenario: &'static str, target: &'static str, figures: &Figures) {
        if let Some(why) = &figures.failure {
            let count = figures.failures;
            let text = format!("{scenario}, {target}: {count} failed, the first: {why}");
            eprintln!("load: {text}");
            self.failures.push((target, text));
        }
    }

    /// The middle of the rounds.
    pub fn median(&self, scenario: &str, what: &str, target: &str) -> Option<f64> {
        let known = |row: &&(&str, &str, Cells)| row.0 == scenario && row.1 == what;
        let (.., cells) = self.rows.iter().find(known)?;
        Some(spread(cells.get(target)?)[1])
    }

    /// Whether all that bkg was asked was answered.
    pub fn is_clean(&self) -> bool {
        self.failures.iter().all(|(target, _)| *target != "bkg")
    }

    /// Prints the table, and what failed.
    pub fn print(&self) {
        let there = |name: &&&str| self.rows.iter().any(|row| row.2.contains_key(**name));
        let columns: Vec<&str> = COLUMNS.iter().filter(there).copied().collect();
        println!("\n| | | {} |", columns.join(" | "));
        println!("|---|---|{}", "--:|".repeat(columns.len()));
        let mut before = "";
        for (scenario, what, cells) in &self.rows {
            let ours = cells.get("bkg").map(|values| spread(values)[1]);
            let cell = |column: &&str| match cells.get(*column) {
                Some(values) => show(values, ours.filter(|_| *column != "bkg")),
                None => String::new(),
            };
            let cells: Vec<String> = columns.iter().map(cell).collect();
            let scenario_once = if *scenario == before { "" } else { scenario };
            println!("| {scenario_once} | {what} | {} |", cells.join(" | "));
            before = scenario;
        }
        println!("\nMedian of the rounds (least–most) ×ratio to bkg.");
        for (_, failure) in &self.failures {
            println!("\nFAILED: {failure}");
        }
    }
}

/// The least, the middle and the most.
fn spread(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len() - 1;
    [sorted[0], sorted[last / 2], sorted[last]]
}

fn show(values: &[f64], ours: Option<f64>) -> String {
    let [least, middle, most] = spread(values);
    let mut text = number(middle);
    if values.len() > 1 {
        text += &format!(" ({}–{})", number(least), number(most));
    }
    if let Some(ours) = ours.filter(|ours| *ours > 0.0 && middle > 0.0) {
        text += &format!(" ×{}", number(middle / ours));
    }
    text
}

/// Three digits that count, and commas.
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 || size == 0.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}
