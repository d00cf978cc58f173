//! Services: what a person writes, what the compiler makes of it, what runs.

pub mod database;
pub mod live_state;
pub mod name;
pub mod reason;
pub mod request;
pub mod status;
