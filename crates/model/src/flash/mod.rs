//! What lies in a flash: partitions, the image in that of the kernel, and what an image says of itself.

pub mod image;
pub mod manifest;
pub mod partition;
