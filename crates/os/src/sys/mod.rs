//! The only unsafe code: thin wrappers, one file per kernel subject.

pub mod entry;
pub mod namespace;
pub mod signals;
