//! Services: what a person writes, what the compiler makes of it, what runs.

pub mod compile;
pub mod database;
pub mod definition;
mod digest;
pub mod execline;
mod graph;
pub mod mistake;
pub mod name;
pub mod request;
pub mod signal;
pub mod source;
pub mod status;
