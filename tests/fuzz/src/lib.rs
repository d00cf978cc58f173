//! One function per reader of foreign bytes. `tests/replay.rs` runs each on
//! its corpus; `cargo xtask fuzz` lets libFuzzer look for more.

pub mod clients;
pub mod compile;
pub mod formats;
pub mod tools;

/// Name of the corpus folder, and the reader.
pub type Target = (&'static str, fn(&[u8]));

/// Every target there is.
pub const TARGETS: &[Target] = &[
    ("accounts", tools::accounts),
    ("database", formats::database),
    ("death_tally", clients::death_tally),
    ("definition", compile::definition),
    ("environment", tools::environment),
    ("from_init", formats::from_init),
    ("labels", tools::labels),
    ("script", compile::script),
    ("source_tree", compile::source_tree),
    ("status", formats::status),
    ("to_init", formats::to_init),
    ("zone", tools::zone),
];
