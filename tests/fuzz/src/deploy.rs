//! Readers of what a device is told to do when it starts.

use model::deploy::generation::{Entry, Line, Preparation, lines};
use model::deploy::history::Record;
use model::deploy::trial::{Pending, Plan, Progress, Start};
use model::deploy::{command_line, phases};
use model::flash::partition;
use model::limits::{TRIAL_ATTEMPTS_MAX, TRIAL_BOOTS_MAX};

// Early boot reads these of a generation, and of a ramdisk, before anything can be repaired.
pub fn boot_lines(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    read_again::<Preparation>(&text);
    read_again::<Entry>(&text);
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
    let line = command_line::parse(&text);
    assert!(line.root.is_none_or(|root| text.contains(root)));
    assert!(phases::report(&text).is_some() || !phases::is_over(&text));
    for found in partition::listed(&text) {
        assert!(partition::number_of(&text, found.name).is_some());
    }
}

/// Files about generations and trials. The older `ward` reads the one that says what to try before
/// anything else, as pid 1.
pub fn generation_files(bytes: &[u8]) {
    if let Some(pending) = written_again(bytes, Pending::read, Pending::write) {
        // However often a device starts: at some time it tries no more.
        let mut now = pending;
        let mut starts = 0;
        while let Start::Try(next) = now.start("/somewhere/else") {
            assert!(next.attempts <= TRIAL_ATTEMPTS_MAX && next.boots <= TRIAL_BOOTS_MAX);
            now = next.after_clean_end();
            starts += 1;
            assert!(starts <= TRIAL_BOOTS_MAX);
        }
    }
    written_again(bytes, Record::read, Record::write);
    written_again(bytes, Plan::read, Plan::write);
    written_again(bytes, Progress::read, Progress::write);
}

/// What is read can be written and read, and then means one thing: of a file that is nearly full the
/// first time may leave lines out.
fn written_again<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    read: fn(&[u8]) -> Option<T>,
    write: fn(&T) -> String,
) -> Option<T> {
    let first = read(bytes)?;
    let second = read(write(&first).as_bytes()).expect("it was written");
    let third = read(write(&second).as_bytes());
    assert_eq!(third.as_ref(), Some(&second));
    Some(second)
}
