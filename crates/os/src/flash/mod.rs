//! Flash: MTD partitions, and memory that is used as flash.

pub mod mtd;
pub mod pci_memory;
