//! Many devices updated by one command: each by a `doorward rebuild` of its own.

pub mod inventory;
mod record;
mod run;
mod table;

pub use run::{Fleet, OFFLINE, Task};
