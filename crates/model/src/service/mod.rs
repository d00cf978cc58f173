//! Services: what a person writes, what the compiler makes of it, what runs.

pub mod compile;
pub mod conversion;
pub mod database;
pub mod definition;
mod digest;
pub mod execline;
pub mod graph;
pub mod live_state;
pub mod manager_request;
pub mod mistake;
pub mod name;
pub mod reason;
pub mod request;
pub mod signal;
pub mod source;
pub mod status;
