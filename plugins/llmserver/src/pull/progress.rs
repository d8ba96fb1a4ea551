//! How far a pull has come, told in steps that a reader can follow.

use messages::{llmserver::PullProgress, stream::Outlet};

use super::fault::PullFault;

/// Bytes between two reports.
const STEP: u64 = 1 << 20;

/// Tells one pull's progress. Every report also finds out whether anyone still waits.
pub(crate) struct Progress {
    outlet: Outlet<PullProgress>,
    now: PullProgress,
    told: u64,
}

impl Progress {
    /// Reports to `outlet`. Only for threads that may block.
    pub(crate) fn new(outlet: Outlet<PullProgress>) -> Self {
        Self {
            outlet,
            now: PullProgress {
                stage: "connect".to_owned(),
                item: String::new(),
                done: 0,
                total: None,
            },
            told: 0,
        }
    }

    /// Begins a stage, and says so.
    ///
    /// # Errors
    /// [`PullFault::Over`] when nobody waits any more; so do all others here.
    pub(crate) fn stage(
        &mut self,
        stage: &str,
        item: &str,
        total: Option<u64>,
    ) -> Result<(), PullFault> {
        self.now = PullProgress {
            stage: stage.to_owned(),
            item: item.to_owned(),
            done: 0,
            total,
        };
        self.tell()
    }

    /// Adds bytes to the stage.
    ///
    /// # Errors
    /// See [`Progress::stage`].
    pub(crate) fn add(&mut self, bytes: usize) -> Result<(), PullFault> {
        let done = self.now.done + u64::try_from(bytes).unwrap_or_default();
        self.reach(done)
    }

    /// Sets the bytes of the stage.
    ///
    /// # Errors
    /// See [`Progress::stage`].
    pub(crate) fn reach(&mut self, done: u64) -> Result<(), PullFault> {
        self.now.done = done;
        if self.now.total == Some(done) || done >= self.told + STEP {
            return self.tell();
        }
        self.check()
    }

    /// Whether someone still waits.
    ///
    /// # Errors
    /// See [`Progress::stage`].
    pub(crate) fn check(&self) -> Result<(), PullFault> {
        let over = self.outlet.cx().is_over();
        let gone = || messages::fault::Fault::cancelled("nobody waits for the pull any more");
        if over {
            Err(PullFault::Over(gone()))
        } else {
            Ok(())
        }
    }

    /// Gives the outlet back for what follows.
    pub(crate) fn into_outlet(self) -> Outlet<PullProgress> {
        self.outlet
    }

    fn tell(&mut self) -> Result<(), PullFault> {
        self.told = self.now.done;
        let told = self.outlet.blocking_send(self.now.clone());
        told.map_err(PullFault::Over)
    }
}
