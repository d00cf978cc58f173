//! libFuzzer's entry: feeds the target that `FUZZ_TARGET` names.
#![no_main]

use std::sync::OnceLock;

libfuzzer_sys::fuzz_target!(init: choose(), |bytes: &[u8]| {
    (READER.get().expect("chosen before the first input"))(bytes);
});

static READER: OnceLock<fn(&[u8])> = OnceLock::new();

fn choose() {
    if std::env::args().nth(1).as_deref() == Some("--list-targets") {
        for (name, _) in fuzz::TARGETS {
            println!("{name}");
        }
        std::process::exit(0);
    }
    let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let Some(reader) = fuzz::target(&wanted) else {
        eprintln!("FUZZ_TARGET={wanted} names no target");
        std::process::exit(100);
    };
    let _ = READER.set(reader);
}
