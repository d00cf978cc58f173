//! The only unsafe code: thin wrappers, one file per kernel subject.

pub mod entry;
pub mod mapping;
pub mod notice;
pub mod signals;
