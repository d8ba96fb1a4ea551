//! Backups of the store, for the HTTP edge and the command line.

use futures_util::FutureExt;
use messages::fault::Fault;
pub(crate) use store::backup::{BackupError, move_out, restore};
use store::{Store, backup};

use crate::http::admin::backups::{Backup, Backups};

/// How the edge makes backups and lists them.
pub(super) fn makers(store: &Store) -> Backups {
    let (maker, lister) = (store.clone(), store.clone());
    Backups {
        make: Box::new(move || {
            let store = maker.clone();
            async move { store.back_up().await.map(told).map_err(Fault::from) }.boxed()
        }),
        list: Box::new(move || {
            let store = lister.clone();
            let list = async move { store.backups().await.map_err(Fault::from) };
            list.map(|list| Ok(list?.into_iter().map(told).collect()))
                .boxed()
        }),
    }
}

fn told(backup: backup::Backup) -> Backup {
    Backup {
        name: backup.name,
        bytes: backup.bytes,
        made_at: backup.made_at,
    }
}
