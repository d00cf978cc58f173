//! Logs: cutting lines, writing each exactly once, rotating, reading them again.

pub mod choose;
pub mod history;
pub mod keep;
pub mod lease;
pub mod marker;
pub mod rotate;
pub mod ship;
pub mod split;
pub mod step;
