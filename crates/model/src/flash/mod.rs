//! Flash: its partitions.

pub mod partition;
