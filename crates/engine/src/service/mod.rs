//! Services: one longrun, one oneshot, all of them.

pub mod ending;
pub mod init;
pub mod manage;
pub mod oneshot;
pub mod supervise;
pub mod update;
