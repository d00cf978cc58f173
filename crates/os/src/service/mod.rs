//! Services on Linux.

pub mod live_dir;
