//! Deployment: what a generation is, and how a device comes to run it.

pub mod base64;
pub mod closure;
pub mod command_line;
pub mod fields;
pub mod generation;
pub mod history;
pub mod lzma;
pub mod maintenance;
pub mod nar;
pub mod nar_hash;
pub mod nar_info;
pub mod patch;
pub mod path_info;
pub mod paths;
pub mod phases;
pub mod replace;
pub mod store_path;
pub mod transfer;
pub mod trial;
pub mod trust;
pub mod xz;
