//! Services: what a person writes, what the compiler makes of it, what runs.

mod digest;
mod graph;
pub mod compile;
pub mod database;
pub mod definition;
pub mod execline;
pub mod live_state;
pub mod mistake;
pub mod name;
pub mod reason;
pub mod request;
pub mod signal;
pub mod source;
pub mod status;
