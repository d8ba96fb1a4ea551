//! A report of what was used: which uses, and what tells them apart.

use std::collections::BTreeMap;

use diesel::{prelude::*, sqlite::SqliteConnection};
use jiff::civil::Date;
use messages::{
    fault::Fault,
    usage::{Group, Line, Lines, ReadUsage, Totals, Usage, UsageRow as Told},
};
use store::StoreError;

use super::rows::UsageRow;
use crate::schema::usage_lines;

/// The most days of one report: a year and its neighbours. All of it is read while nothing can be
/// written down.
const MOST_DAYS: i32 = 400;

/// What is asked for, with nothing left open.
#[derive(Debug, Clone)]
pub(super) struct Report {
    request: ReadUsage,
    from: Date,
    to: Date,
    /// The user whose use alone is told.
    user: Option<String>,
}

/// What a row of a report is about, in the order of the groups.
type Names = (String, String, String, String, String, i32);

impl Report {
    /// Without days, the month of `today` so far.
    ///
    /// # Errors
    /// When the last day precedes the first, or follows it by too many.
    pub(super) fn new(
        request: ReadUsage,
        user: Option<String>,
        today: Date,
    ) -> Result<Self, Fault> {
        let to = request.to.unwrap_or(today);
        let from = request.from.unwrap_or(to.first_of_month());
        if from > to {
            let text = format!("from {from} to {to} there is no day");
            return Err(Fault::unprocessable(text).with_param("from"));
        }
        let apart = from.until(to).map_or(i32::MAX, |span| span.get_days());
        if apart >= MOST_DAYS {
            let text =
                format!("from and to may span {MOST_DAYS} days; ask for {from} to {to} in parts");
            return Err(Fault::unprocessable(text).with_param("from"));
        }
        Ok(Self {
            request,
            from,
            to,
            user,
        })
    }

    /// The rows that are written down.
    pub(super) fn load(&self, conn: &mut SqliteConnection) -> Result<Vec<UsageRow>, StoreError> {
        let mut query = usage_lines::table
            .filter(usage_lines::day.ge(self.from.to_string()))
            .filter(usage_lines::day.le(self.to.to_string()))
            .select(UsageRow::as_select())
            .into_boxed();
        if let Some(user) = &self.user {
            query = query.filter(usage_lines::username.eq(user));
        }
        if let Some(key) = &self.request.key {
            query = query.filter(usage_lines::key_id.eq(key));
        }
        if let Some(model) = &self.request.model {
            query = query.filter(usage_lines::model.eq(model));
        }
        Ok(query.load(conn)?)
    }

    /// Adds up `written` and, of what is not written, what was asked for.
    pub(super) fn of(&self, written: Vec<UsageRow>, unwritten: &Lines) -> Usage {
        let mut groups = BTreeMap::<Names, Totals>::new();
        let asked = unwritten.iter().filter(|(line, _)| self.wants(line));
        let rows = asked.map(|(line, totals)| UsageRow::new(line, totals));
        let mut all = Totals::default();
        for row in written.into_iter().chain(rows) {
            let totals = row.totals();
            all.add(&totals);
            groups.entry(self.names(row)).or_default().add(&totals);
        }
        let told = groups
            .into_iter()
            .map(|(names, totals)| self.tell(names, &totals));
        Usage {
            usage: told.collect(),
            total: numbers(&all),
        }
    }

    fn wants(&self, line: &Line) -> bool {
        let is = |wanted: &Option<String>, name: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == name)
        };
        (self.from..=self.to).contains(&line.day)
            && is(&self.user, &line.user)
            && is(&self.request.key, &line.key)
            && is(&self.request.model, &line.model)
    }

    fn by(&self, group: Group) -> bool {
        self.request.group_by.contains(&group)
    }

    fn names(&self, row: UsageRow) -> Names {
        let name = |group, name: String| if self.by(group) { name } else { String::new() };
        (
            name(Group::Day, row.day),
            name(Group::Key, row.key_id),
            name(Group::User, row.username),
            name(Group::Model, row.model),
            name(Group::Route, row.route),
            if self.by(Group::Status) {
                row.status
            } else {
                0
            },
        )
    }

    fn tell(&self, names: Names, totals: &Totals) -> Told {
        let (day, key, user, model, route, status) = names;
        let name = |group, name| self.by(group).then_some(name);
        Told {
            day: name(Group::Day, day).and_then(|day| day.parse().ok()),
            key: name(Group::Key, key),
            user: name(Group::User, user),
            model: name(Group::Model, model),
            route: name(Group::Route, route),
            status: u16::try_from(status)
                .ok()
                .filter(|_| self.by(Group::Status)),
            ..numbers(totals)
        }
    }
}

fn numbers(totals: &Totals) -> Told {
    let requests = u32::try_from(totals.requests).unwrap_or(u32::MAX).max(1);
    Told {
        requests: totals.requests,
        prompt_tokens: totals.tokens.prompt,
        completion_tokens: totals.tokens.completion,
        total_tokens: totals.tokens.total(),
        mean_ms: millis(totals.took.as_secs_f64() / f64::from(requests)),
        max_ms: millis(totals.longest.as_secs_f64()),
        ..Told::default()
    }
}

/// Seconds as milliseconds, to the microsecond.
fn millis(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e3
}
