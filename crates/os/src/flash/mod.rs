//! Flash: MTD partitions, memory that is used as flash, and the way off it.

pub mod mtd;
pub mod pci_memory;
pub mod ramdisk;
pub mod soft_restart;
pub mod somebody;
