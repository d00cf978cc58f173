//! Copying store paths to a device: what is missing, as small as it can be said, over one connection.

pub mod closure;
pub mod difference;
pub mod line;
pub mod parcel;
pub mod plain;
pub mod plan;
pub mod progress;
pub mod send;
