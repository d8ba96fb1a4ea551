//! Migrations: all pending ones together, or none.

use std::{
    fs,
    path::{Path, PathBuf},
};

use diesel::{
    migration::{Migration, MigrationSource},
    prelude::*,
    sql_query,
    sql_types::Text,
    sqlite::{Sqlite, SqliteConnection},
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::{OpenError, examine::text, private};

/// The migrations of the store and of every plugin.
pub(crate) const EMBEDDED: EmbeddedMigrations = embed_migrations!("../../migrations");

type Boxed = Box<dyn Migration<Sqlite>>;
type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// What must still be done to a database.
pub(crate) struct Plan {
    database: PathBuf,
    pending: Vec<(String, Boxed)>,
}

impl Plan {
    /// Compares what the database has had with what this binary knows.
    pub(crate) fn make(
        database: &Path,
        applied: &[String],
        source: &impl MigrationSource<Sqlite>,
    ) -> Result<Self, OpenError> {
        let known = source
            .migrations()
            .map_err(|why| failed(database, why.to_string()))?;
        let mut pending: Vec<(String, Boxed)> = known
            .into_iter()
            .map(|migration| (migration.name().version().to_string(), migration))
            .collect();
        pending.sort_by(|(a, _), (b, _)| a.cmp(b));
        if let Some(version) = applied
            .iter()
            .find(|version| !pending.iter().any(|(known, _)| known == *version))
        {
            return Err(OpenError::Newer {
                database: database.to_owned(),
                version: version.clone(),
            });
        }
        pending.retain(|(version, _)| !applied.contains(version));
        Ok(Self {
            database: database.to_owned(),
            pending,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Copies the database to `<database>.before-<version>`, so that the release before can be
    /// started again.
    pub(crate) fn keep_copy(&self, conn: &mut SqliteConnection) -> Result<(), OpenError> {
        let Some((version, _)) = self.pending.first() else {
            return Ok(());
        };
        let mut copy = self.database.clone().into_os_string();
        copy.push(format!(".before-{version}"));
        let copy = PathBuf::from(copy);
        write_copy(conn, &copy).map_err(|why| {
            let copy = copy.display();
            failed(
                &self.database,
                format!("the copy {copy} that precedes a migration failed: {why}"),
            )
        })
    }

    /// Runs everything pending in one transaction.
    pub(crate) fn run(&self, conn: &mut SqliteConnection) -> Result<(), OpenError> {
        conn.immediate_transaction(|conn| -> Result<(), AnyError> {
            // Makes the table that the harness writes to.
            conn.applied_migrations()?;
            for (version, migration) in &self.pending {
                conn.run_migration(&**migration)
                    .map_err(|why| format!("migration {version}: {why}"))?;
            }
            Ok(())
        })
        .map_err(|why| failed(&self.database, why.to_string()))
    }
}

fn write_copy(conn: &mut SqliteConnection, copy: &Path) -> Result<(), AnyError> {
    let mut unfinished = copy.as_os_str().to_owned();
    unfinished.push(".part");
    let unfinished = PathBuf::from(unfinished);
    if unfinished.exists() {
        fs::remove_file(&unfinished)?;
    }
    let file = private::open_file(&unfinished)?;
    sql_query("VACUUM INTO ?")
        .bind::<Text, _>(text(&unfinished)?)
        .execute(conn)?;
    // SQLite does not wait for the disk here.
    file.sync_all()?;
    fs::rename(&unfinished, copy)?;
    Ok(())
}

fn failed(database: &Path, why: String) -> OpenError {
    OpenError::Migration {
        database: database.to_owned(),
        why,
    }
}
