//! Readers of `os`: of files, directories and memory that somebody else may
//! have written.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::limits::DEATH_TALLY_MAX;
use os::service::table::Table;
use os::service::{fifodir, permissions, settings};
use os::sys::memory::SharedMemory;

/// A folder of this thread's own, in memory where there is such a place.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("ward-fuzz-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a folder can be made");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

// Init reads these of every plain service directory, as pid 1 on a device. The
// first byte chooses the file.
pub fn settings(bytes: &[u8]) {
    const NAMES: [&str; 8] = [
        "notification-fd",
        "lock-fd",
        "timeout-kill",
        "timeout-finish",
        "restart-wait",
        "max-death-tally",
        "down-signal",
        "reload-signal",
    ];
    let [first, text @ ..] = bytes else { return };
    let folder = Folder::new();
    fs::write(folder.0.join(NAMES[usize::from(*first) % NAMES.len()]), text).expect("written");
    let directory = fs::File::open(&folder.0).expect("it is there");
    let found = settings::read(directory.as_fd(), ".");
    assert!(found.death_tally_max <= DEATH_TALLY_MAX);
    assert!((1..=64).contains(&found.down_signal) && (1..=64).contains(&found.reload_signal));
}

// Whoever may listen to a service fills its `event` directory with what they
// like, and init writes there. Lines: names; an odd length makes a fifo.
pub fn fifodir(bytes: &[u8]) {
    let folder = Folder::new();
    let mut plain = BTreeSet::new();
    for name in bytes.split(|byte| *byte == b'\n').take(8) {
        let path = folder.0.join(OsStr::from_bytes(name));
        let usable = !name.is_empty() && !name.contains(&b'/') && !name.contains(&0);
        if !usable || name.len() > 255 || path.exists() {
            continue;
        }
        if name.len() % 2 == 1 {
            let mode = rustix::fs::Mode::from_raw_mode(0o622);
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
                .expect("made");
        } else {
            fs::write(&path, "").expect("made");
            plain.insert(path);
        }
    }
    let path = std::ffi::CString::new(folder.0.as_os_str().as_bytes()).expect("no zero byte");
    let reached = fifodir::notify_at_path(&path, b"ud").expect("it can be read");
    assert_eq!(reached, 0, "nobody listens");
    fifodir::clean(&folder.0).expect("it can be cleaned");
    for path in plain {
        assert_eq!(fs::read(path).expect("it stays"), b"", "nothing is written to a plain file");
    }
}

// A new init reads the table that the one before it left, before anything else.
pub fn table(bytes: &[u8]) {
    let mut memory = SharedMemory::new(c"fuzz", bytes.len().max(1)).expect("there is memory");
    memory.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
    let file = memory.as_fd().try_clone_to_owned().expect("a descriptor");
    let Ok((mut table, found)) = Table::resume(file) else { return };
    let records: BTreeSet<u32> = found.iter().map(|found| found.record).collect();
    assert_eq!(records.len(), found.len());
    for found in &found {
        table.set_state(found.record, found.dates, &found.state);
        table.set_fixed(found.record, &found.fixed);
    }
    let new = table.add(os::service::table::Kind::Slot, &Default::default(), "new", b"state");
    assert!(new.is_ok_and(|new| !records.contains(&new)), "a record is given away once");
    for found in &found {
        table.remove(found.record);
    }
}

// Programs that set permissions look groups up by name and number.
pub fn groups(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for number in [0, 5, 1_000] {
        if let Some(name) = permissions::group_name(text, number) {
            assert!(permissions::group_number(text, name).is_some());
        }
    }
}
