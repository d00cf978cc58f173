//! Applets for people: `ward status`, `ward log`, …

pub mod graph;
pub mod log;
pub mod output;
mod services;
pub mod start;
pub mod status;
pub mod why;
