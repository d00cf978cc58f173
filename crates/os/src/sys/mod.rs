//! The only unsafe code: thin wrappers, one file per kernel subject.

pub mod account;
pub mod entry;
pub mod exec;
pub mod lock;
pub mod rlimit;
pub mod session;
pub mod signals;
