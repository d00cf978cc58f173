//! The store on a real file system, and what shall not lead out of it.

use super::*;
use engine::deploy::archive;
use engine::deploy::disk::{make_folders, remove_all};
use engine::deploy::store::{INCOMING, INFO};
use std::fs;
use std::os::unix::fs::symlink;

struct Root(PathBuf);

impl Root {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("doorward-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder can be made");
        Self(path)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_tree_is_made_read_and_removed() {
    let root = Root::new("store-dir");
    let mut disk = StoreDir::open(&root.0).expect("it can be made");
    make_folders(&mut disk, INCOMING).expect("made");
    make_folders(&mut disk, INFO).expect("made");
    let at = |name: &str| [INCOMING, name.as_bytes()].concat();
    disk.make_folder(&at("/x")).expect("made");
    let mut file = disk.create(&at("/x/run"), true).expect("made");
    disk.write(&mut file, b"#!/bin/x\n").expect("written");
    disk.sync_file(&file).expect("synced");
    disk.make_link(&at("/x/link"), b"/etc/passwd").expect("made");
    assert!(disk.create(&at("/x/run"), false).is_err(), "it is there");
    let (hash, size) = archive::hash(&mut disk, &at("/x")).expect("it has an archive");
    disk.rename(&at("/x"), b"nix/store/y").expect("renamed");
    disk.sync_folder(b"nix/store").expect("synced");
    disk.sync_all().expect("synced");
    let again = archive::hash(&mut disk, b"nix/store/y").expect("it has an archive");
    assert_eq!(again, (hash, size));
    assert_eq!(disk.look(&at("/x")).expect("it can be looked at"), None);
    let link = disk.look(b"nix/store/y/link").expect("it can be looked at");
    assert_eq!(link, Some(Kind::Link(b"/etc/passwd".to_vec())));
    remove_all(&mut disk, b"nix/store/y").expect("removed");
    assert!(!root.0.join("nix/store/y").exists());
    assert!(Path::new("/etc/passwd").exists(), "a link is not followed");
}

#[test]
fn nothing_leads_out_of_the_store() {
    let root = Root::new("store-out");
    let mut disk = StoreDir::open(&root.0).expect("it can be made");
    fs::create_dir(root.0.join("outside")).expect("made");
    symlink(root.0.join("outside"), root.0.join("nix/store/trick")).expect("made");
    for path in ["nix/store/trick/x", "nix/store/../../outside/x", "nix/store/trick/../x"] {
        assert!(disk.create(path.as_bytes(), false).is_err(), "{path}");
        assert!(disk.make_folder(path.as_bytes()).is_err(), "{path}");
        assert!(disk.make_link(path.as_bytes(), b"y").is_err(), "{path}");
    }
    for path in ["outside/x", "etc/passwd", "nix/storehouse/x", "../x", "nix/var/other"] {
        assert!(disk.create(path.as_bytes(), false).is_err(), "{path}");
    }
    assert!(disk.list(b"nix/store/trick").is_err());
    assert_eq!(fs::read_dir(root.0.join("outside")).expect("it is there").count(), 0);
    // Step by step, as older kernels need it, no link is followed either.
    let base = sys::open(root.0.join("nix/store"), FOLDER, Mode::empty()).expect("it is there");
    for path in ["trick/x", "trick", "../store", "a//b"] {
        let opened = step_by_step(base.as_fd(), OsStr::new(path), FOLDER | OFlags::NOFOLLOW);
        assert!(opened.is_err(), "{path}");
    }
    fs::create_dir_all(root.0.join("nix/store/a/b")).expect("made");
    assert!(step_by_step(base.as_fd(), OsStr::new("a/b"), FOLDER | OFlags::NOFOLLOW).is_ok());
}

#[test]
fn the_room_is_what_the_file_system_says() {
    let root = Root::new("store-room");
    let disk = StoreDir::open(&root.0).expect("it can be made");
    let room = disk.room().expect("it is known");
    assert!(room.bytes > 0 && room.block_bytes >= 512 && !room.is_read_only, "{room:?}");
}
