//! Services on Linux.

pub mod fifodir;
pub mod held;
pub mod live_dir;
pub mod lives;
pub mod process;
pub mod resume;
pub mod scandir;
pub mod settings;
pub mod table;
pub mod tree;
