//! The live views: sockets that pull from what others publish, and never hold anyone up.

pub(crate) mod history;
pub(crate) mod logs;
pub(crate) mod plugins;
mod readers;
mod session;

pub(crate) use self::readers::Readers;

/// The log's ring, which only the sockets read.
pub(crate) type Logs = logbroker::Ring;

/// The log's figures.
pub(crate) type LogFigures = logbroker::Figures;
