//! Applets for people: `ward status`, `ward log`, …

pub mod chart;
pub mod doctor;
pub mod explain;
pub mod graph;
pub mod history;
pub mod log;
pub mod output;
mod screen;
pub mod services;
pub mod start;
pub mod status;
pub mod why;
