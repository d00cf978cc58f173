//! Services, as Linux runs and shows them.

pub mod client;
pub mod fifodir;
pub mod signal_name;
pub mod watch;
