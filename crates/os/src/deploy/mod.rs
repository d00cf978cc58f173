//! Deployment: what Linux does before the first service, and after the last.

pub mod files;
pub mod generations;
pub mod modules;
pub mod mounts;
pub mod phases;
pub mod root;
pub mod trial_dir;
