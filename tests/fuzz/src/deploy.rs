//! Readers of what a device is told to do when it starts.

use engine::flash::plan::{Target, parts};
use model::deploy::generation::{Entry, Line, Preparation, lines};
use model::deploy::history::Record;
use model::deploy::maintenance::{self, Part, Plan};
use model::deploy::trial::{self, Pending, Progress, Start};
use model::deploy::{command_line, phases, trust};
use model::flash::manifest::{Checker, FOOTER_BYTES, Footer, Manifest, ManifestError, NODE_BYTES};
use model::flash::partition;
use model::limits::{TRIAL_ATTEMPTS_MAX, TRIAL_BOOTS_MAX};
use xxhash_rust::xxh64::xxh64;

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
    written_again(bytes, trial::Plan::read, trial::Plan::write);
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

// `flashcp` and `image verify` read these of files that anybody may have made. Once with the sum
// that belongs to it: what is behind that must hold alone.
pub fn manifest(bytes: &[u8]) {
    const PUBLIC: &str = "test-1:OMQjf36HrKt9hEgOplFl5Egma/Wn1iA0TIojj9KpP98=";
    assert!(!matches!(Manifest::of_file(bytes), Ok(Some(_))) || bytes.len() > FOOTER_BYTES);
    let trailer = bytes.len() + NODE_BYTES + FOOTER_BYTES;
    let mut footer = [0; FOOTER_BYTES];
    footer[..4].copy_from_slice(&(trailer as u32).to_le_bytes());
    footer[4..8].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
    footer[8..16].copy_from_slice(&xxh64(bytes, 1).to_le_bytes());
    footer[16] = 1;
    footer[24..].copy_from_slice(b"\x89wardimg");
    let Ok(Some(footer)) = Footer::parse(&footer) else { return };
    let file = match footer.manifest(bytes, trailer as u64) {
        Err(ManifestError::Length { expected, .. }) => expected.saturating_add(trailer as u64),
        other => return assert!(other.is_err(), "an image of no bytes"),
    };
    let Ok(found) = footer.manifest(bytes, file) else { return };
    // Written again, it is read as before, and it is short.
    let written = found.trailer().expect("it was accepted");
    assert_eq!(written.len() % found.erase_bytes as usize, 0);
    let (_, end) = written.split_last_chunk().expect("it has an end");
    let again = Footer::parse(end).expect("as it should be").expect("it is there");
    let Some(file) = found.bytes.checked_add(written.len() as u64) else { return };
    let body = &written[NODE_BYTES..][..bytes.len()];
    assert_eq!(again.manifest(body, file), Ok(found.clone()));
    assert!(!found.to_string().contains('\u{1b}'), "nothing that a terminal obeys");
    // A signature that anybody may have written, held against a key.
    let keys = trust::keys(PUBLIC).expect("it is one");
    let signer = trust::signer(&found.signed_bytes(), found.signed(), &keys);
    assert!(!signer.is_enough(&keys), "nobody has signed with it");
    assert_eq!(found.signed().is_none(), signer == trust::Signer::Nobody);
    let mut checker = Checker::new(&found);
    let _ = checker.update(bytes).and_then(|()| checker.finish());
    // What is planned of it stays in the partition, and no block is planned for twice.
    let (name, erase_bytes) = (found.partition.clone(), found.erase_bytes);
    let target = Target { name, bytes: found.size, erase_bytes, inside: Vec::new() };
    let Ok(mut plan) = parts(&found, None, &target, false) else { return };
    plan.sort_by_key(|part| part.first);
    let mut end = 0;
    for part in plan {
        assert!(part.first >= end && part.pieces <= part.blocks && part.covers <= part.blocks);
        end = part.first + part.blocks;
        assert!(u64::from(end) * u64::from(erase_bytes) <= found.size);
    }
}
