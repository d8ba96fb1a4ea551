//! The socket in the data directory: its owner's way in.

use std::{
    fs::Permissions,
    io,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
};

use crate::start_error::StartError;

/// A socket that only the owner may connect to, under a name that nobody looks for until
/// [`HiddenSocket::publish`].
#[derive(Debug)]
pub(crate) struct HiddenSocket {
    hidden: PathBuf,
    path: PathBuf,
}

impl HiddenSocket {
    /// Files that are there already are a dead gateway's: the directory is ours.
    pub(super) fn bind(path: &Path) -> Result<(UnixListener, Self), StartError> {
        let hidden = path.with_extension("sock.new");
        let bind = || {
            remove(path)?;
            remove(&hidden)?;
            let listener = UnixListener::bind(&hidden)?;
            std::fs::set_permissions(&hidden, Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = bind().map_err(|error| StartError::file(path, error))?;
        let path = path.to_owned();
        Ok((listener, Self { hidden, path }))
    }

    /// Lets commands find it.
    pub(crate) fn publish(self) -> Result<(), StartError> {
        let renamed = std::fs::rename(&self.hidden, &self.path);
        renamed.map_err(|error| StartError::file(&self.path, error))
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
