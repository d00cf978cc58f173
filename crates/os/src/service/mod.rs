//! Services, as Linux runs and shows them.

pub mod client;
pub mod companion;
pub mod events;
pub mod fifodir;
pub mod permissions;
pub mod signal_name;
pub mod watch;
