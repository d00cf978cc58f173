//! Each kind of entry, in a folder of its own.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use model::deploy::generation::lines;

use super::*;

/// A folder that is gone when dropped.
struct Root(PathBuf);

impl Root {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("doorward-files-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        let root = std::env::temp_dir().join(name);
        fs::create_dir_all(root.join("store")).expect("a folder can be made");
        fs::write(root.join("store/key"), "secret").expect("a file can be written");
        Self(root)
    }

    /// Does a line, with the own user and group where it says `ME`.
    fn put(&self, line: &str) -> io::Result<bool> {
        let own = fs::metadata(&self.0).expect("it is there");
        let line = line.replace("ME", &format!("{}\t{}", own.uid(), own.gid()));
        put(&self.0, &lines(&line).next().expect("a line").expect("it can be read"))
    }

    fn join(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    fn mode(&self, path: &str) -> u32 {
        fs::symlink_metadata(self.join(path)).expect("it is there").mode() & 0o7777
    }

    fn number(&self, path: &str) -> u64 {
        fs::symlink_metadata(self.join(path)).expect("it is there").ino()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_is_right_is_not_touched() {
    let root = Root::new();
    let lines = [
        "directory\t/persist\t1777\tME",
        "link\t/persist/var\t/run/var",
        "copy\t/persist/key\t0640\tME\t/store/key",
    ];
    for line in lines {
        assert!(root.put(line).expect("it can be done"), "{line}");
    }
    let before = lines.map(|line| root.number(&line.split('\t').nth(1).expect("a path")[1..]));
    for line in lines {
        assert!(!root.put(line).expect("it can be done"), "{line}");
    }
    let after = lines.map(|line| root.number(&line.split('\t').nth(1).expect("a path")[1..]));
    assert_eq!(before, after);
    assert_eq!((root.mode("persist"), root.mode("persist/key")), (0o1777, 0o640));
    assert_eq!(fs::read(root.join("persist/key")).expect("it is there"), b"secret");
}

#[test]
fn what_is_wrong_is_put_right() {
    let root = Root::new();
    fs::write(root.join("file"), "public").expect("a file can be written");
    fs::write(root.join("file.new"), "left behind").expect("a file can be written");
    symlink("nowhere", root.join("link")).expect("a link can be made");
    symlink("nowhere", root.join("folder")).expect("a link can be made");
    fs::create_dir(root.join("empty")).expect("a folder can be made");
    for line in [
        "copy\t/file\t0600\tME\t/store/key",
        "link\t/link\tstore",
        "directory\t/folder\t0700\tME",
        "link\t/empty\tstore/key",
        "copy\t/link\t0644\tME\t/store/key",
    ] {
        assert!(root.put(line).expect("it can be done"), "{line}");
        assert!(!root.put(line).expect("it can be done"), "{line}");
    }
    assert_eq!(fs::read(root.join("file")).expect("it is there"), b"secret");
    assert!(root.join("folder").is_dir() && !root.join("file.new").exists());
    assert_eq!(fs::read_link(root.join("empty")).expect("a link"), Path::new("store/key"));
    assert!(!root.join("link").is_symlink());

    // Only permissions differ: the file stays.
    let number = root.number("file");
    assert!(root.put("copy\t/file\t0444\tME\t/store/key").expect("it can be done"));
    assert_eq!((root.number("file"), root.mode("file")), (number, 0o444));
}

#[test]
fn what_cannot_be_done_leaves_things_as_they_were() {
    let root = Root::new();
    fs::write(root.join("file"), "a person's").expect("a file can be written");
    for line in [
        "link\t/store\telsewhere",            // there is something in it
        "directory\t/file\t0755\tME",         // nobody said that it may go
        "copy\t/copy\t0644\tME\t/store/none", // nothing to copy
        "link\t/none/link\tstore",            // no folder to be in
        "copy\t/store\t0644\tME\t/store/key", // a folder
        "directory\t/none/below\t0755\tME",   // no folder to be in
    ] {
        assert!(root.put(line).is_err(), "{line}");
    }
    assert_eq!(fs::read(root.join("file")).expect("it is there"), b"a person's");
    let mut names: Vec<_> =
        fs::read_dir(&root.0).expect("it is there").flatten().map(|e| e.file_name()).collect();
    names.sort();
    assert_eq!(names, ["file", "store"]);
    assert!(root.join("store/key").is_file());
}
