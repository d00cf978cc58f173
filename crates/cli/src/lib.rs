//! How a command speaks: arguments in, text out, an exit code at the end.
#![forbid(unsafe_code)]

mod args;
mod command;
mod failure;

pub use args::{Args, text};
pub use command::{Command, Opt, find, help};
pub use failure::{Exit, Failure};
