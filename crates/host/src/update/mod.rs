//! An update of a device from here: what it would change, having it tried, and confirming it.

pub mod device;
pub mod preview;
pub mod trial;
