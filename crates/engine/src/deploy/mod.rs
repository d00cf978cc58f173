//! Deployment: how a device comes to run another generation, and returns from it.

pub mod activate;
pub mod deeds;
