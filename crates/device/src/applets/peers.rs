//! Applets that answer to a peer's name and keep its options and exit codes.

pub mod s6_fifodir;
pub mod s6_ftrig;
pub mod s6_notifyoncheck;
pub mod s6_permafailon;
pub mod s6_rc;
pub mod s6_rc_compile;
pub mod s6_rc_db;
pub mod s6_rc_init;
pub mod s6_setsid;
pub mod s6_svc;
pub mod s6_svdt;
pub mod s6_svlink;
pub mod s6_svok;
pub mod s6_svperms;
pub mod s6_svstat;
pub mod s6_svwait;
mod waiting;
