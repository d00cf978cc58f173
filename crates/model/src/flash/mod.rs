//! What lies in a flash: partitions, and the image in that of the kernel.

pub mod image;
pub mod partition;
