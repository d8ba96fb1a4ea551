//! Connections: one that writes, a few that only read, all with the same settings.

use std::time::Duration;

use diesel::{
    connection::SimpleConnection,
    r2d2::{ConnectionManager, CustomizeConnection, Error, Pool, PoolError},
    sqlite::SqliteConnection,
};

pub(crate) type Connections = Pool<ConnectionManager<SqliteConnection>>;

/// Readers work in parallel; more of them than cores on a small machine gain nothing.
pub(crate) const READERS: u32 = 4;

/// How long a caller waits for a connection before it is told that the database is busy.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// `busy_timeout` comes first, so that a switch to WAL waits for a neighbour too. A write-ahead
/// log that grew in a burst is cut back to 64 MiB.
const WRITER: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA journal_size_limit = 67108864;";

const READER: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA query_only = ON;";

#[derive(Debug)]
struct Settings(&'static str);

impl CustomizeConnection<SqliteConnection, Error> for Settings {
    fn on_acquire(&self, conn: &mut SqliteConnection) -> Result<(), Error> {
        conn.batch_execute(self.0).map_err(Error::QueryError)
    }
}

/// Gives a connection made outside the pools the writer's settings.
pub(crate) fn prepare_writer(conn: &mut SqliteConnection) -> diesel::QueryResult<()> {
    conn.batch_execute(WRITER)
}

pub(crate) fn writer(database: &str) -> Result<Connections, PoolError> {
    connect(database, 1, WRITER)
}

pub(crate) fn readers(database: &str) -> Result<Connections, PoolError> {
    connect(database, READERS, READER)
}

fn connect(database: &str, size: u32, settings: &'static str) -> Result<Connections, PoolError> {
    Pool::builder()
        .max_size(size)
        .connection_timeout(CONNECTION_TIMEOUT)
        // A local file does not go away between two uses as a server does.
        .test_on_check_out(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connection_customizer(Box::new(Settings(settings)))
        .build(ConnectionManager::new(database))
}
