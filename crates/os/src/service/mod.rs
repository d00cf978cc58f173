//! Services, as Linux runs and shows them.

pub mod client;
pub mod companion;
pub mod database_file;
pub mod events;
pub mod fifodir;
pub mod held;
pub mod init_client;
pub mod kept_database;
pub mod late;
pub mod live_dir;
pub mod live_upkeep;
pub mod lives;
pub mod managed;
pub mod manager_client;
pub mod outputs;
pub mod permissions;
pub mod process;
pub mod resume;
pub mod scandir;
mod script_output;
pub mod settings;
pub mod signal_name;
pub mod source_dir;
pub mod table;
mod takeover;
pub mod tree;
pub mod watch;
