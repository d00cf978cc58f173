//! Packages of Debian's archive: which ones, by a lock file, and getting them through apt.

pub mod apt;
pub mod lock;
pub mod modules;
pub mod resolve;
pub mod store;
