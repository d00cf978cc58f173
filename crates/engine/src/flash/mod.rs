//! Flash: how a device gets off it while it runs, where the parts of an image go, and writing them
//! block by block.

pub mod plan;
pub mod soft_restart;
pub mod write;
