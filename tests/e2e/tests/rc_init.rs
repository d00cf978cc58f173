//! `s6-rc-init`: all of a live directory, or nothing of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use e2e::device::Device;
use e2e::{Folder, applet, stdout, wait_for};

const PATIENCE: Duration = Duration::from_secs(30);

/// An empty tree, and a database of two longruns.
struct Tree {
    folder: Folder,
    svscan: Child,
}

impl Tree {
    fn new(what: &str) -> Self {
        let folder = Folder::new(what);
        for name in ["a", "b"] {
            folder.write(format!("src/{name}/type"), "longrun\n");
            folder.write(format!("src/{name}/run"), "#!/bin/sh\nexec sleep 1000\n");
        }
        stdout(applet("s6-rc-compile").arg(folder.join("db")).arg(folder.join("src")));
        fs::create_dir(folder.join("scan")).unwrap();
        let mut svscan = applet("s6-svscan");
        svscan.arg(folder.join("scan")).stdin(Stdio::null());
        let svscan = svscan.stderr(fs::File::create(folder.join("log")).unwrap()).spawn().unwrap();
        let tree = Self { folder, svscan };
        wait_for("the control socket", PATIENCE, || {
            tree.scan().join(".s6-svscan/init").exists().then_some(())
        });
        tree
    }

    fn scan(&self) -> PathBuf {
        self.folder.join("scan")
    }

    fn live(&self) -> PathBuf {
        self.folder.join("live")
    }

    /// The exit code of `s6-rc-init`.
    fn init(&self) -> Option<i32> {
        let mut command = applet("s6-rc-init");
        command.arg("-c").arg(self.folder.join("db")).arg("-l").arg(self.live()).arg(self.scan());
        command.stderr(Stdio::null()).status().unwrap().code()
    }

    /// Names beside the live directory that begin as its own do.
    fn left(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path()).unwrap().flatten().map(|e| e.path());
        entries.filter(|path| path.to_str().unwrap().contains("/live")).collect()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = applet("s6-svscanctl").arg("-t").arg(self.scan()).status();
        let _ = self.svscan.wait();
    }
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|data| data.is_symlink())
}

#[test]
fn an_init_that_cannot_link_a_name_leaves_nothing_behind() {
    let tree = Tree::new("init-nothing");
    // Somebody's own service has the name of one of the database.
    fs::create_dir(tree.scan().join("b")).unwrap();
    assert_eq!(tree.init(), Some(111));
    assert_eq!(tree.left(), [] as [PathBuf; 0]);
    assert!(!is_link(&tree.scan().join("a")), "a name that was linked is taken back");
    assert!(tree.scan().join("b").is_dir(), "what was there stays");

    fs::remove_dir(tree.scan().join("b")).unwrap();
    assert_eq!(tree.init(), Some(0));
    assert!(is_link(&tree.live()) && is_link(&tree.scan().join("b")));
    stdout(applet("s6-rc").arg("-l").arg(tree.live()).args(["-u", "change", "a"]));
    let up = stdout(applet("s6-svstat").args(["-o", "up"]).arg(tree.scan().join("a")));
    assert_eq!(up, "true\n");
    // A second time it finds everything done.
    assert_eq!(tree.init(), Some(0));
    let list = stdout(applet("s6-rc").arg("-l").arg(tree.live()).args(["-a", "list"]));
    assert_eq!(list, "a\n");
}

#[test]
fn every_boot_of_many_at_once_ends_well() {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for _ in 0..8 {
                    let device = Device::new(&format!("boots{thread}"));
                    device.sleeper("a").bundle("default", &["a"]).start();
                    assert_eq!(device.up(), ["a"]);
                    let said = device.log();
                    assert!(said.is_empty(), "{said:?}");
                }
            });
        }
    });
}
