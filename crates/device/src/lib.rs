//! The applets of `ward`, as a library, so that man pages can be made without them on the device.
#![forbid(unsafe_op_in_unsafe_fn)]

pub mod applets;
pub mod install;
