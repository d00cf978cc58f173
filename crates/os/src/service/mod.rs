//! Services, as Linux does them.

pub mod database_file;
pub mod source_dir;
