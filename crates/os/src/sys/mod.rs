//! The only unsafe code: thin wrappers, one file per kernel subject.

pub mod children;
pub mod crash;
pub mod entry;
pub mod exec;
pub mod inherit;
pub mod memory;
pub mod namespace;
pub mod reboot;
pub mod regex;
pub mod session;
pub mod signals;
pub mod spawn;
