//! A pretend router on this machine: namespaces with a root directory of their own.

pub mod identity;
pub mod root;
pub mod snapshot;
