//! Flash: MTD partitions, who uses them, writing them, and memory that is used as flash.

pub mod device;
pub mod holders;
pub mod image_file;
pub mod mtd;
pub mod partitions;
pub mod pci_memory;
