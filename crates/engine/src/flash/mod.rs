//! Flash: where the parts of an image go, and writing them block by block.

pub mod plan;
pub mod write;
