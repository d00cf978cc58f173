//! Applets for people: `ward status`, `ward log`, …

pub mod explain;
pub mod log;
mod services;
pub mod start;
pub mod status;
pub mod why;
