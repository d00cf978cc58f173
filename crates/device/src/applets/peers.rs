//! Applets that answer to a peer's name and keep its options and exit codes.

pub mod s6_applyuidgid;
pub mod s6_envdir;
pub mod s6_envuidgid;
pub mod s6_setlock;
pub mod s6_setsid;
pub mod s6_setuidgid;
pub mod s6_softlimit;
pub mod s6_tai64n;
pub mod s6_tai64nlocal;
