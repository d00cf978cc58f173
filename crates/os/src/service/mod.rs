//! Services, as Linux runs and shows them.

pub mod client;
pub mod signal_name;
