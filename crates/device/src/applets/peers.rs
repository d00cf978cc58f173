//! Applets that answer to a peer's name and keep its options and exit codes.

pub mod s6_applyuidgid;
pub mod s6_envdir;
pub mod s6_envuidgid;
pub mod s6_fifodir;
pub mod s6_ftrig;
pub mod s6_log;
pub mod s6_notifyoncheck;
pub mod s6_permafailon;
pub mod s6_rc;
pub mod s6_rc_compile;
pub mod s6_rc_db;
pub mod s6_rc_init;
pub mod s6_setlock;
pub mod s6_setsid;
pub mod s6_setuidgid;
pub mod s6_softlimit;
pub mod s6_svc;
pub mod s6_svdt;
pub mod s6_svlink;
pub mod s6_svok;
pub mod s6_svperms;
pub mod s6_svstat;
pub mod s6_svwait;
pub mod s6_tai64n;
pub mod s6_tai64nlocal;
mod waiting;
