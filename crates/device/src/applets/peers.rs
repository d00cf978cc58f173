//! Applets that answer to a peer's name and keep its options and exit codes.

pub mod s6_rc_compile;
pub mod s6_rc_db;
pub mod s6_rc_init;
pub mod s6_setsid;
pub mod s6_svok;
pub mod s6_svstat;
