//! Services: one longrun, one oneshot, all of them.

pub mod init;
pub mod oneshot;
pub mod supervise;
