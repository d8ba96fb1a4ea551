//! Looks into a data directory's database from outside, while no gateway has it open.

use std::path::Path;

use diesel::{
    Connection, QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    sql_query,
    sql_types::{BigInt, Nullable, Text},
    sqlite::SqliteConnection,
};

#[derive(QueryableByName)]
struct Finding {
    #[diesel(sql_type = Text)]
    integrity_check: String,
}

/// Runs statements.
pub fn execute(data: &Path, statements: &str) {
    open(data).batch_execute(statements).unwrap();
}

/// What SQLite's own check of every page and index finds; `ok` where nothing is wrong. Looks at a
/// copy, so that whoever opens the database next finds it as the crash has left it.
pub fn integrity(data: &Path) -> String {
    let copy = tempfile::tempdir().unwrap();
    for name in ["bkg.db", "bkg.db-wal"] {
        let from = data.join(name);
        if from.exists() {
            std::fs::copy(&from, copy.path().join(name)).unwrap();
        }
    }
    let found: Vec<Finding> = sql_query("PRAGMA integrity_check")
        .load(&mut open(copy.path()))
        .unwrap();
    let found: Vec<String> = found.into_iter().map(|row| row.integrity_check).collect();
    found.join("; ")
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = Nullable<BigInt>)]
    number: Option<i64>,
}

/// What `query` selects as `number`. Reads beside a gateway, too.
pub fn number(data: &Path, query: &str) -> Option<i64> {
    let found: Number = sql_query(query).get_result(&mut open(data)).unwrap();
    found.number
}

fn open(data: &Path) -> SqliteConnection {
    SqliteConnection::establish(data.join("bkg.db").to_str().unwrap()).unwrap()
}
