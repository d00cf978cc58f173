//! Deployment: what Linux does before the first service, and after the last.

pub mod base;
pub mod collect;
pub mod files;
pub mod generations;
pub mod http;
pub mod lease;
pub mod modules;
pub mod mounts;
pub mod phases;
pub mod pull;
pub mod receive;
pub mod root;
pub mod roots;
pub mod store_dir;
pub mod trial_dir;
pub mod trusted;
