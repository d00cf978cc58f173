//! `doorward`: the build machine's side.
#![forbid(unsafe_code)]

fn main() {}
