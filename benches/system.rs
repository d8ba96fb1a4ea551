//! An Actix system that criterion can run futures on.

use actix::SystemRunner;
use criterion::async_executor::AsyncExecutor;

/// The system of this thread.
pub struct System(SystemRunner);

impl System {
    /// A new one.
    pub fn new() -> Self {
        Self(actix::System::new())
    }

    /// Runs one future.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.block_on(future)
    }
}

impl AsyncExecutor for &System {
    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.run(future)
    }
}
