//! Updates: what to do next.

pub mod rollout;
