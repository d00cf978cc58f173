//! Deployment: how store paths come to be there, whole, and how they go; how a device comes to run
//! another generation, and returns from it.

pub mod activate;
pub mod archive;
pub mod collect;
pub mod deeds;
pub mod disk;
pub mod receive;
pub mod rollout;
pub mod store;
