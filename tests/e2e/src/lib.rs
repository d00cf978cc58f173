//! What whole-program tests share: the built `ward` under all its names,
//! folders that go away, and waiting on conditions.

pub mod alone;
pub mod browser;
pub mod client;
pub mod device;
pub mod dice;
pub mod documented;
pub mod generation;
pub mod house;
pub mod http;
pub mod json;
pub mod log;
pub mod machine;
pub mod manual;
pub mod nix;
pub mod page;
pub mod peer_tree;
pub mod pretend_device;
pub mod pretend_init;
pub mod process;
pub mod providers;
pub mod rsyslog;
pub mod shell;
pub mod shown;
pub mod ssh_server;
pub mod store;
pub mod transcript;
pub mod vm;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The static `ward` that is tested: `$WARD`, or built now.
pub fn ward() -> &'static Path {
    static WARD: OnceLock<PathBuf> = OnceLock::new();
    WARD.get_or_init(|| {
        if let Some(path) = std::env::var_os("WARD") {
            return PathBuf::from(path);
        }
        build("device", Some("x86_64-unknown-linux-musl")).join("ward")
    })
}

/// The host's `doorward`: `$DOORWARD`, or built now.
pub fn doorward() -> &'static Path {
    static DOORWARD: OnceLock<PathBuf> = OnceLock::new();
    DOORWARD.get_or_init(|| {
        if let Some(path) = std::env::var_os("DOORWARD") {
            return PathBuf::from(path);
        }
        build("host", None).join("doorward")
    })
}

/// Builds a package as tests want it and gives the folder of the result.
fn build(package: &str, target: Option<&str>) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&root).args(["build", "--quiet", "--package", package]);
    let mut folder = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root.join(folder),
        None => root.join("target"),
    };
    if let Some(target) = target {
        cargo.args(["--target", target]);
        folder.push(target);
    }
    let status = cargo.status().expect("cargo can be started");
    assert!(status.success(), "building {package} failed; `./setup` installs what it needs");
    folder.join("debug").canonicalize().expect("cargo made its target folder")
}

/// A folder that holds `ward` under every name it has, for `PATH`.
pub fn applets() -> &'static Path {
    static APPLETS: OnceLock<PathBuf> = OnceLock::new();
    APPLETS.get_or_init(|| {
        let folder = ward().parent().expect("ward lies in a folder").join("applets");
        let _ = std::fs::create_dir(&folder);
        let list = Command::new(ward()).arg("--list").output().expect("ward runs").stdout;
        for name in String::from_utf8(list).expect("names are text").lines().chain(["ward"]) {
            // Another test may be making the same link. It leads to the `ward` beside it wherever that is copied to.
            let ward = Path::new("..").join(ward().file_name().expect("ward has a name"));
            let _ = std::os::unix::fs::symlink(ward, folder.join(name));
        }
        folder
    })
}

/// `ward` under the name of one of its applets.
pub fn applet(name: &str) -> Command {
    Command::new(applets().join(name))
}

/// A program of Debian's that a test compares with.
///
/// # Panics
/// Where it is missing: a comparison that did not happen must not look green.
pub fn debian(program: &str) -> Command {
    let path = Path::new("/usr/bin").join(program);
    assert!(path.exists(), "{} is missing; `./setup` installs it", path.display());
    Command::new(path)
}

/// A new folder under the system's temporary one, gone when dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(what: &str) -> Self {
        Self::below(&std::env::temp_dir(), what)
    }

    /// A folder in memory where there is room for that: for tests of so many
    /// files that a disk takes longer than what is tested.
    pub fn in_memory(what: &str) -> Self {
        let shared = Path::new("/dev/shm");
        let disk = std::env::temp_dir();
        Self::below(if shared.is_dir() { shared } else { &disk }, what)
    }

    fn below(parent: &Path, what: &str) -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("doorward-{what}-{}-{count}", std::process::id());
        let path = parent.join(name);
        std::fs::create_dir(&path).expect("a temporary folder can be made");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file below it, and the folders on its way.
    pub fn write(&self, name: impl AsRef<Path>, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("it lies below the folder")).expect("mkdir");
        std::fs::write(&path, text).expect("a file can be written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Copies a program that is called at once. Another process does it: had this one the copy open
/// for writing, a child that another test starts in the meantime would have it too, and the kernel
/// does not run what may still be written to (`ETXTBSY` in execve(2)).
pub fn copy_program(from: &Path, to: impl AsRef<Path>) {
    let status = Command::new("cp").arg(from).arg(to.as_ref()).status().expect("cp runs");
    assert!(status.success(), "{} cannot be copied", from.display());
}

/// Waits until `condition` gives something.
///
/// # Panics
/// After `limit`, saying `what` did not come.
pub fn wait_for<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(start.elapsed() < limit, "{what} did not come within {limit:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The standard output of a command that must succeed.
pub fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?} cannot be started: {e}"));
    assert!(
        output.status.success(),
        "{command:?} failed with {:?}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("it printed text")
}

/// `PATH` with the applets before everything else.
pub fn path_with_applets() -> std::ffi::OsString {
    let mut path = applets().as_os_str().to_owned();
    path.push(OsStr::new(":"));
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path
}
