//! Flash: MTD partitions, who uses them, writing them, memory that is used as flash, and the way off it.

pub mod device;
pub mod holders;
pub mod image_file;
pub mod mtd;
pub mod partitions;
pub mod pci_memory;
pub mod ramdisk;
pub mod soft_restart;
pub mod somebody;
