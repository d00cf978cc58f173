//! Deployment: how store paths come to be there, whole, and how they go.

pub mod archive;
pub mod collect;
pub mod disk;
pub mod receive;
pub mod store;
