//! Deployment: what Linux does before the first service, and after the last.

pub mod files;
pub mod modules;
pub mod mounts;
pub mod phases;
pub mod root;
