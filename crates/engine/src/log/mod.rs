//! Logs: cutting lines, writing each exactly once, rotating.

pub mod choose;
pub mod rotate;
pub mod split;
pub mod step;
