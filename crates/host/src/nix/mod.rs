//! Calling Nix, and telling people what it says.

pub mod call;
pub mod messages;
