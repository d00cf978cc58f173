//! Logs: log directories, the logger of everything, those who listen to it.

pub mod collector;
pub mod follow;
pub mod journal;
pub mod last_boot;
pub mod lines;
pub mod listeners;
pub mod log_dir;
pub mod pipes;
pub mod processed_dir;
pub mod processing;
pub mod reader;
pub mod script_run;
pub mod ship;
pub mod sinks;
pub mod tail;
