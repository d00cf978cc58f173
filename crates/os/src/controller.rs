//! What controllers need of Linux.

pub mod device_outputs;
pub mod devices;
pub mod kernel_events;
pub mod manager_link;
pub mod probe;
