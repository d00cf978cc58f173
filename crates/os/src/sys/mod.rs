//! The only unsafe code: thin wrappers, one file per kernel subject.

pub mod ask;
pub mod entry;
pub mod inherit;
pub mod regex;
pub mod signals;
