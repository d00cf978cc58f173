//! How Linux does it.

pub mod account;
pub mod clock;
pub mod event_loop;
pub mod files;
pub mod filter;
pub mod socket;
pub mod sys;
pub mod zone;
