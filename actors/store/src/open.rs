//! Opening: claim the directory, examine the database, bring it up to date, connect.

use std::{fs, path::Path};

use diesel::{
    Connection,
    migration::MigrationSource,
    sqlite::{Sqlite, SqliteConnection},
};

use crate::{
    OpenError, Store, backup,
    claim::Claim,
    examine::{Files, text},
    migrate::{EMBEDDED, Plan},
    pool, private,
};

impl Store {
    /// Claims `data_dir` (made if it is not there) and opens its `bkg.db`, migrated to this
    /// binary's schema. A database that existed before a migration is copied first.
    ///
    /// # Errors
    /// See [`OpenError`]; its exit status tells the causes apart.
    pub fn open(data_dir: &Path) -> Result<Self, OpenError> {
        Self::open_with(data_dir, &EMBEDDED)
    }

    pub(crate) fn open_with(
        data_dir: &Path,
        migrations: &impl MigrationSource<Sqlite>,
    ) -> Result<Self, OpenError> {
        let claim = Claim::take(data_dir)?;
        let directory = data_dir
            .canonicalize()
            .map_err(|why| OpenError::unusable(data_dir, why))?;
        backup::finish(&directory)?;
        let files = Files::of(directory.join("bkg.db"));
        match files.examine()? {
            None => create(&files, migrations)?,
            Some(applied) => upgrade(&files, &applied, migrations)?,
        }
        let database = text(&files.database)?;
        let connected = pool::writer(database)
            .and_then(|writer| pool::readers(database).map(|readers| (writer, readers)));
        let (writer, readers) =
            connected.map_err(|why| OpenError::unusable(&files.database, why))?;
        Ok(Self::new(writer, readers, directory, claim))
    }
}

/// Makes the database under another name and renames it when it is whole: a start that is killed
/// half-way leaves nothing that the next one would take for damage.
fn create(files: &Files, migrations: &impl MigrationSource<Sqlite>) -> Result<(), OpenError> {
    let new = Files::of(files.database.with_extension("db.new"));
    let unusable = |why: std::io::Error| OpenError::unusable(&new.database, why);
    new.remove().map_err(unusable)?;
    private::open_file(&new.database).map_err(unusable)?;
    let plan = Plan::make(&files.database, &[], migrations)?;
    let outcome = connect(&new).and_then(|mut conn| plan.run(&mut conn));
    if outcome.is_err() {
        new.remove().map_err(unusable)?;
        return outcome;
    }
    fs::rename(&new.database, &files.database).map_err(unusable)?;
    private::sync_parent(&files.database).map_err(unusable)
}

fn upgrade(
    files: &Files,
    applied: &[String],
    migrations: &impl MigrationSource<Sqlite>,
) -> Result<(), OpenError> {
    let plan = Plan::make(&files.database, applied, migrations)?;
    if plan.is_empty() {
        return Ok(());
    }
    let mut conn = connect(files)?;
    plan.keep_copy(&mut conn)?;
    plan.run(&mut conn)
}

fn connect(files: &Files) -> Result<SqliteConnection, OpenError> {
    let unusable = |why: &dyn ToString| OpenError::unusable(&files.database, why.to_string());
    let mut conn =
        SqliteConnection::establish(text(&files.database)?).map_err(|why| unusable(&why))?;
    pool::prepare_writer(&mut conn).map_err(|why| unusable(&why))?;
    Ok(conn)
}
