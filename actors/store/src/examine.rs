//! A look at an existing database before anything may change it.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use diesel::{prelude::*, sql_query, sql_types::Text, sqlite::SqliteConnection};

use crate::{OpenError, error::is_damage, store::quick_check};

/// The first 16 bytes of every SQLite database (<https://sqlite.org/fileformat.html>, 1.3).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Up to this size every page is checked before opening, which takes less than a second; a larger
/// file gets its full check in the background after the start.
const FULL_CHECK_BYTES: u64 = 128 << 20;

/// The files of one database.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) database: PathBuf,
    wal: PathBuf,
    shm: PathBuf,
}

impl Files {
    pub(crate) fn of(database: PathBuf) -> Self {
        let beside = |suffix: &str| {
            let mut name = database.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        Self {
            wal: beside("-wal"),
            shm: beside("-shm"),
            database,
        }
    }

    /// Removes whatever is left of an unfinished database.
    pub(crate) fn remove(&self) -> std::io::Result<()> {
        [&self.database, &self.wal, &self.shm]
            .into_iter()
            .try_for_each(|path| match fs::remove_file(path) {
                Err(why) if why.kind() != std::io::ErrorKind::NotFound => Err(why),
                _ => Ok(()),
            })
    }

    fn has_log(&self) -> bool {
        fs::metadata(&self.wal).is_ok_and(|data| data.len() > 0)
    }

    fn damaged(&self, what: impl Into<String>) -> OpenError {
        OpenError::Damaged {
            database: self.database.clone(),
            what: what.into(),
        }
    }

    /// The versions of the migrations that the database has had, oldest first; nothing if there is
    /// no database yet. Changes no byte of it and leaves no file beside it.
    pub(crate) fn examine(&self) -> Result<Option<Vec<String>>, OpenError> {
        self.examine_up_to(FULL_CHECK_BYTES)
    }

    /// The same, with every page checked however many there are.
    pub(crate) fn examine_all(&self) -> Result<Option<Vec<String>>, OpenError> {
        self.examine_up_to(u64::MAX)
    }

    fn examine_up_to(&self, most: u64) -> Result<Option<Vec<String>>, OpenError> {
        let unusable = |why: &dyn ToString| OpenError::unusable(&self.database, why.to_string());
        let exists = fs::exists(&self.database).map_err(|why| unusable(&why))?;
        if !exists {
            // SQLite would replay the old log into a new file.
            return match self.has_log() {
                true => Err(self.damaged("the file is gone but its write-ahead log is there")),
                false => Ok(None),
            };
        }
        let every_page = self.check_header()? <= most;
        self.look_inside(every_page).map(Some)
    }

    fn check_header(&self) -> Result<u64, OpenError> {
        let unusable = |why: std::io::Error| OpenError::unusable(&self.database, why);
        let file = File::open(&self.database).map_err(unusable)?;
        let bytes = file.metadata().map_err(unusable)?.len();
        let mut start = Vec::new();
        file.take(16).read_to_end(&mut start).map_err(unusable)?;
        match start.as_slice() {
            [] => Err(self.damaged("the file is empty")),
            start if start == MAGIC => Ok(bytes),
            _ => Err(self.damaged("it does not begin as an SQLite database does")),
        }
    }

    fn look_inside(&self, every_page: bool) -> Result<Vec<String>, OpenError> {
        if !self.has_log() {
            // Without a log the file is complete in itself, and `immutable` keeps SQLite from
            // making any file beside it.
            return self.query("mode=ro&immutable=1", every_page);
        }
        // After a crash the log holds the newest pages. A read-only connection reads both and
        // changes neither, but it rebuilds the log's index: put that back as it was.
        let index = fs::read(&self.shm).ok();
        let answer = self.query("mode=ro", every_page);
        let restored = match index {
            Some(index) => fs::write(&self.shm, index),
            None if self.shm.exists() => fs::remove_file(&self.shm),
            None => Ok(()),
        };
        restored.map_err(|why| OpenError::unusable(&self.shm, why))?;
        answer
    }

    fn query(&self, options: &str, every_page: bool) -> Result<Vec<String>, OpenError> {
        let url = format!("file:{}?{options}", escape(text(&self.database)?));
        let mut conn = SqliteConnection::establish(&url)
            .map_err(|why| OpenError::unusable(&self.database, why))?;
        let answer = check_structure(&mut conn, every_page).and_then(|finding| match finding {
            Some(what) => Ok(Err(self.damaged(what))),
            None => applied(&mut conn).map(Ok),
        });
        answer.unwrap_or_else(|why| match why.to_string() {
            what if is_damage(&what) => Err(self.damaged(what)),
            other => Err(OpenError::unusable(&self.database, other)),
        })
    }
}

fn check_structure(conn: &mut SqliteConnection, every_page: bool) -> QueryResult<Option<String>> {
    // Reading the schema also compares the file's length with what its header says.
    sql_query("PRAGMA schema_version").execute(conn)?;
    match every_page {
        true => quick_check(conn),
        false => Ok(None),
    }
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Text)]
    found: String,
}

/// The versions of the migrations that a database has had, oldest first.
pub(crate) fn applied(conn: &mut SqliteConnection) -> QueryResult<Vec<String>> {
    let mut list = |query: &str| -> QueryResult<Vec<String>> {
        let rows: Vec<Found> = sql_query(query).load(conn)?;
        Ok(rows.into_iter().map(|row| row.found).collect())
    };
    let tables =
        list("SELECT name AS found FROM sqlite_master WHERE name = '__diesel_schema_migrations'")?;
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    list("SELECT version AS found FROM __diesel_schema_migrations ORDER BY version")
}

/// The path as SQLite takes it.
pub(crate) fn text(path: &Path) -> Result<&str, OpenError> {
    path.to_str()
        .ok_or_else(|| OpenError::unusable(path, "the path is not valid UTF-8"))
}

/// Escapes what means something else in a URI file name (<https://sqlite.org/uri.html>, 3.1).
fn escape(path: &str) -> String {
    path.replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23")
}
