//! Services: one longrun, one oneshot, all of them.

pub mod chart;
pub mod ending;
pub mod init;
pub mod manage;
pub mod oneshot;
pub mod supervise;
pub mod timeline;
pub mod update;
