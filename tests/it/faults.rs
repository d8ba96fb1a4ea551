//! Disks that are full or fail, damage, and clocks that jump: writes are refused plainly, reads go
//! on, readiness says why, and the gateway is well again once the fault is gone.

mod clock;
mod damage;
mod disk;
pub mod preload;
