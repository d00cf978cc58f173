//! Applets for people: `ward status`, `ward start`, …

mod services;
pub mod start;
pub mod status;
pub mod why;
