//! Deployment: what a generation is, and how a device comes to run it.

pub mod command_line;
pub mod generation;
pub mod maintenance;
pub mod phases;
