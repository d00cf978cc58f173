//! Deployment: how store paths come to be there, whole, and how they go.

pub mod disk;
