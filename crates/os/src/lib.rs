//! How Linux does it.

pub mod account;
pub mod clock;
pub mod controller;
pub mod deploy;
pub mod door;
pub mod error_name;
pub mod event_loop;
pub mod facts;
pub mod file_systems;
pub mod files;
pub mod filter;
pub mod flash;
pub mod http_server;
pub mod log;
pub mod memory;
pub mod namespace;
pub mod processes;
pub mod resolver;
pub mod service;
pub mod socket;
pub mod sys;
pub mod terminal;
pub mod trouble;
pub mod watchdog;
pub mod zone;
