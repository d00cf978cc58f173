//! Services: what a person writes, what the compiler makes of it, what runs.

pub mod database;
pub mod name;
pub mod request;
pub mod signal;
pub mod status;
