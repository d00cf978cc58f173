//! What lies in a flash.

pub mod image;
