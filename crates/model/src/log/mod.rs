//! Logs: what a line, a log directory and a message about them are.

pub mod answer;
pub mod archive;
pub mod entry;
pub mod journal;
pub mod kernel;
pub mod last_boot;
pub mod line;
pub mod loss;
pub mod mark;
pub mod packed;
pub mod place;
pub mod policy;
pub mod priority;
pub mod request;
pub mod script;
pub mod shipped;
pub mod syslog;
pub mod target;
pub mod when;
