//! Readers of what a device is told to do when it starts.

use model::deploy::generation::{Entry, Line, Preparation, lines};
use model::deploy::maintenance::{self, Part, Plan};
use model::deploy::{command_line, phases};
use model::flash::partition;

// Early boot reads these of a generation, and of a ramdisk, before anything can be repaired.
pub fn boot_lines(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    read_again::<Preparation>(&text);
    read_again::<Entry>(&text);
    // `levitate` puts what this names into memory, as root.
    read_again::<Part>(&text);
    if let Ok(plan) = Plan::parse(&text) {
        assert!(plan.carried.iter().all(|path| !path.contains("/../")), "{plan:?}");
        assert!(plan.stores.iter().any(|(path, _)| *path == plan.system));
    }
}

/// What is read of a line means one thing: written, it is read as the same.
fn read_again<T: Line + ToString + PartialEq + std::fmt::Debug>(text: &str) {
    assert_eq!(lines::<T>(text).count(), text.lines().count());
    for line in lines::<T>(text).flatten() {
        let written = line.to_string();
        assert_eq!(lines::<T>(&written).collect::<Vec<_>>(), [Ok(line)], "{written:?}");
    }
}

// The ramdisk's init reads what the boot loader and the kernel say; `ward phases` reads notes.
pub fn boot_texts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = (maintenance::available(&text), maintenance::patience_of(&text));
    let line = command_line::parse(&text);
    assert!(line.root.is_none_or(|root| text.contains(root)));
    assert!(phases::report(&text).is_some() || !phases::is_over(&text));
    for found in partition::listed(&text) {
        assert!(partition::number_of(&text, found.name).is_some());
    }
}
