//! A virtual router: a device in QEMU that boots from its flash, and the networks around it.
//!
//! QEMU always emulates (`-accel tcg`): where tests run, `/dev/kvm` may be there and not work.

pub mod description;
pub mod flash;
pub mod forward;
pub mod key;
pub mod lent;
pub mod neighbours;
pub mod networks;
pub mod porter;
pub mod qemu;
pub mod rom;
pub mod ssh;
