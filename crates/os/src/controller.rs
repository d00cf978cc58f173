//! What controllers need of Linux.

pub mod manager_link;
pub mod probe;
