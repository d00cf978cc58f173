//! The only unsafe code: thin wrappers, one file per kernel subject.

pub mod children;
pub mod crash;
pub mod entry;
pub mod memory;
pub mod namespace;
pub mod signals;
pub mod spawn;
