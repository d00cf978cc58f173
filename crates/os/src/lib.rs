//! How Linux does it.

pub mod clock;
pub mod event_loop;
pub mod files;
pub mod log;
pub mod socket;
pub mod sys;
