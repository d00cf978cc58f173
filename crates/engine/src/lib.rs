//! What to do next: state machines. Time comes in as a value; nothing here
//! waits, reads or prints.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod controller;
pub mod deploy;
pub mod doctor;
pub mod flash;
pub mod log;
pub mod machine;
pub mod service;
