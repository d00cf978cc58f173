//! How devices are, as they say themselves: asked over ssh, all at once.

pub mod checkup;
pub mod picture;
pub mod questions;
pub mod table;
