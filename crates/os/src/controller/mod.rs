//! How controllers see the world.

pub mod probe;
