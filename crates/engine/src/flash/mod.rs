//! Flash: how a device gets off it while it runs.

pub mod soft_restart;
