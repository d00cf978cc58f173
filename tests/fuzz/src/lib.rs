//! One function per reader of foreign bytes. `tests/replay.rs` runs each on
//! its corpus; `cargo xtask fuzz` lets libFuzzer look for more.

pub mod clients;
pub mod compile;
pub mod controllers;
pub mod deploy;
pub mod formats;
pub mod imports;
pub mod logs;
pub mod machines;
pub mod mutate;
pub mod pages;
pub mod probes;
pub mod ships;
pub mod store;
pub mod system;
pub mod tools;

/// Name of the corpus folder, and the reader.
pub type Target = (&'static str, fn(&[u8]));

/// Every target there is.
pub const TARGETS: &[Target] = &[
    ("accounts", tools::accounts),
    ("boot_lines", deploy::boot_lines),
    ("boot_texts", deploy::boot_texts),
    ("check_settings", probes::check_settings),
    ("conversions", compile::conversions),
    ("database", formats::database),
    ("death_tally", clients::death_tally),
    ("definition", compile::definition),
    ("device_event", controllers::device_event),
    ("device_rule", controllers::device_rule),
    ("dns", ships::dns),
    ("echo", probes::echo),
    ("environment", tools::environment),
    ("fifodir", system::fifodir),
    ("from_init", formats::from_init),
    ("from_logger", formats::from_logger),
    ("from_manager", formats::from_manager),
    ("generation_files", deploy::generation_files),
    ("groups", system::groups),
    ("image", formats::image),
    ("import_procd", imports::procd),
    ("import_systemd", imports::systemd),
    ("labels", tools::labels),
    ("log_answer", ships::log_answer),
    ("last_boot", logs::last_boot),
    ("log_history", logs::log_history),
    ("log_journal", logs::log_journal),
    ("log_keep", logs::log_keep),
    ("log_lines", logs::log_lines),
    ("log_names", logs::log_names),
    ("log_packed", ships::log_packed),
    ("log_place", ships::log_place),
    ("log_script", logs::log_script),
    ("log_target", ships::log_target),
    ("log_when", logs::log_when),
    ("manager", machines::manager),
    ("manifest", deploy::manifest),
    ("names", compile::names),
    ("page_request", pages::page_request),
    ("probe_answers", probes::probe_answers),
    ("script", compile::script),
    ("settings", system::settings),
    ("slot", machines::slot),
    ("source_tree", compile::source_tree),
    ("status", formats::status),
    ("table", system::table),
    ("to_init", formats::to_init),
    ("to_logger", formats::to_logger),
    ("to_manager", formats::to_manager),
    ("store_archive", store::archive),
    ("store_from_receiver", store::from_receiver),
    ("store_keys", store::keys),
    ("store_lzma", store::lzma),
    ("store_nar_info", store::nar_info),
    ("store_orders", store::orders),
    ("store_path_info", store::path_info),
    ("store_to_receiver", store::to_receiver),
    ("store_xz", store::xz),
    ("zone", tools::zone),
];

/// The target of this name.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, reader)| *reader)
}
