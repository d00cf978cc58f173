//! Fifodirs on real file systems.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::AtomicU32;

use super::*;
use crate::sys::signals::ignore_pipe;

/// A new folder, on a tmpfs where there is one; gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(parent: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(parent).join(format!("fifodir-{}-{count}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A folder with a fifodir `event` in it, on each kind of file system there is.
fn with_fifodir(test: impl Fn(&Path, OwnedFd)) {
    ignore_pipe();
    let temp = std::env::temp_dir();
    for parent in [temp.to_str().unwrap(), "/dev/shm"] {
        let folder = Folder::new(parent);
        make(&folder.0.join("event"), None, false).unwrap();
        test(&folder.0.join("event"), crate::files::directory(&folder.0).unwrap());
    }
}

fn entries(path: &Path) -> usize {
    std::fs::read_dir(path).unwrap().count()
}

#[test]
fn every_listener_hears_every_event_in_order() {
    with_fifodir(|path, parent| {
        assert_eq!(notify(&parent, c"event", b"s").unwrap(), 0);
        let listeners: Vec<_> = (0..5).map(|_| Subscription::new(path).unwrap()).collect();
        assert_eq!(notify(&parent, c"event", b"u").unwrap(), 5);
        assert_eq!(notify(&parent, c"event", b"dD").unwrap(), 5);
        for listener in &listeners {
            let mut buffer = [0; 16];
            assert_eq!(listener.read(&mut buffer).unwrap(), b"udD");
            assert_eq!(listener.read(&mut buffer).unwrap(), b"");
        }
        drop(listeners);
        assert_eq!(entries(path), 0);
        assert_eq!(notify(&parent, c"event", b"u").unwrap(), 0);
    });
}

#[test]
fn a_listener_that_comes_after_silence_is_heard_of() {
    // The quick way to see that nobody listens must never stick.
    with_fifodir(|path, parent| {
        for _ in 0..100 {
            assert_eq!(notify(&parent, c"event", b"u").unwrap(), 0);
            let listener = Subscription::new(path).unwrap();
            assert_eq!(notify(&parent, c"event", b"d").unwrap(), 1);
            assert_eq!(listener.read(&mut [0; 4]).unwrap(), b"d");
        }
    });
}

#[test]
fn fifos_without_a_reader_are_removed_and_strangers_are_left_alone() {
    with_fifodir(|path, parent| {
        let dead = path.join("ftrig1:@400000006b050e8527b41cdb:aaaaaa");
        let fifo = |path: &Path| {
            fs::mknodat(fs::CWD, path, FileType::Fifo, Mode::from_raw_mode(0o622), 0).unwrap();
        };
        fifo(&dead);
        fifo(&path.join("somebody else's"));
        fifo(&path.join(".ftrig1:@400000006b050e8527b41cdb:bbbbbb")); // not a listener yet
        // What would be written through a link must stay as it was.
        std::fs::write(path.join("../secret"), "abc").unwrap();
        let name = |letters: &str| path.join(format!("ftrig1:@400000006b050e8527b41cdb:{letters}"));
        std::os::unix::fs::symlink("../secret", name("cccccc")).unwrap();
        std::fs::hard_link(path.join("../secret"), name("dddddd")).unwrap();
        std::fs::create_dir(name("eeeeee")).unwrap();

        assert_eq!(notify(&parent, c"event", b"u").unwrap(), 0);
        assert!(!dead.exists());
        assert_eq!(entries(path), 5);
        assert_eq!(std::fs::read(path.join("../secret")).unwrap(), b"abc");
        // Even where the kind of a file changes after the directory was read.
        let raced = std::ffi::CString::new(name("dddddd").file_name().unwrap().as_encoded_bytes());
        let fifodir = crate::files::directory(path).unwrap();
        assert!(!tell(fifodir.as_fd(), &raced.unwrap(), b"u"));
        assert_eq!(std::fs::read(path.join("../secret")).unwrap(), b"abc");

        fifo(&dead);
        clean(path).unwrap();
        assert_eq!(entries(path), 5);
    });
}

#[test]
fn a_listener_that_does_not_read_blocks_nobody() {
    with_fifodir(|path, parent| {
        let deaf = Subscription::new(path).unwrap();
        let mut missed = 0;
        for _ in 0..70 {
            missed += usize::from(notify(&parent, c"event", &[b'u'; 1000]).unwrap() == 0);
        }
        assert!(missed > 0);
        let listener = Subscription::new(path).unwrap();
        assert_eq!(notify(&parent, c"event", &[b'd'; 1000]).unwrap(), 1);
        assert_eq!(listener.read(&mut [0; 2000]).unwrap().len(), 1000);
        drop(deaf);
    });
}

#[test]
fn a_crowd_of_dead_listeners_costs_each_event_a_bounded_time() {
    with_fifodir(|path, parent| {
        let total = FIFODIR_ENTRIES_MAX + 100;
        for i in 0..total {
            let name = path.join(format!("ftrig1:@400000006b050e8527b41cdb:{i:06}"));
            fs::mknodat(fs::CWD, &name, FileType::Fifo, Mode::from_raw_mode(0o622), 0).unwrap();
        }
        notify(&parent, c"event", b"u").unwrap();
        let left = entries(path);
        assert!((100..=102).contains(&left), "{left} are left"); // `.` and `..` count
        notify(&parent, c"event", b"u").unwrap();
        assert_eq!(entries(path), 0);
    });
}

#[test]
fn fifodirs_have_the_permissions_of_the_documentation() {
    let folder = Folder::new(std::env::temp_dir().to_str().unwrap());
    let path = folder.0.join("event");
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
    make(&path, None, false).unwrap();
    assert_eq!(mode(), 0o1733);
    let group = rustix::process::getegid().as_raw();
    make(&path, Some(group), false).unwrap();
    assert_eq!(mode(), 0o1733); // it was there already
    make(&path, Some(group), true).unwrap();
    assert_eq!(mode(), 0o3730);
    std::fs::write(folder.0.join("file"), "").unwrap();
    assert!(make(&folder.0.join("file"), None, true).is_err());
    assert_eq!(notify(crate::files::directory(&folder.0).unwrap(), c"file", b"u").ok(), None);
    assert_eq!(notify(crate::files::directory(&folder.0).unwrap(), c"none", b"u").ok(), None);
}
