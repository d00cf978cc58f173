//! Controllers: what they ask of the manager, and when.

pub mod health;
