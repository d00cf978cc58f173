//! Deployment: what a generation is, and how a device comes to run it.

pub mod command_line;
pub mod fields;
pub mod generation;
pub mod history;
pub mod phases;
pub mod trial;
