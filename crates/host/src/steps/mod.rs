//! What Nix has `doorward` do inside of builds: from attributes in a file to a store path.
//!
//! Nothing here asks the machine for anything: all that is read was named by the expressions in
//! nix/, and the same attributes give the same bytes.

pub mod attributes;
pub mod closure;
pub mod firmware;
pub mod image;
pub mod kernel;
pub mod layout;
pub mod manifest;
pub mod modules;
pub mod services;
pub mod system;
pub mod vm;
