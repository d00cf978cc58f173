//! What things are: types, parsers and formats. No clock, no file, no process.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod account;
pub mod bytes;
pub mod calendar;
pub mod controller;
pub mod deploy;
pub mod digest;
pub mod dns;
pub mod echo;
pub mod environment;
pub mod flash;
pub mod http;
pub mod import;
pub mod label;
pub mod limits;
pub mod log;
pub mod service;
pub mod time;
pub mod zone;
