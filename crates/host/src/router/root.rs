//! The root directory of a pretend router: this machine's programs, read-only,
//! and everything else its own and in memory.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use model::service::compile::Compiled;
use model::service::source::Tree;
use os::namespace;
use os::service::source_dir;

use super::snapshot::Snapshot;

/// Where `ward` and its names lie inside, first on `PATH`.
pub const WARD: &str = "/ward";
/// Where services find programs inside.
pub const PATH: &str = "/ward:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// All of it together: more than any test needs, and not all of the memory.
const BYTES_MAX: u64 = 256 << 20;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
                      nobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &str = "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n";
const HOSTS: &str = "127.0.0.1 localhost\n::1 localhost\n";

/// What of `/etc` programs of Debian's cannot do without.
const FROM_ETC: &[&str] = &["ld.so.cache", "protocols", "services", "nsswitch.conf", "netconfig"];

/// What goes into it besides the machine's programs.
pub struct Contents {
    pub ward: Snapshot,
    /// The names of the applets.
    pub applets: Vec<String>,
    /// The folder of source directories, for people to change and compile again.
    pub sources: Snapshot,
    /// The same as it is compiled.
    pub tree: Tree,
    pub compiled: Compiled,
}

/// An error, and what was being made.
pub type Trouble = (PathBuf, io::Error);

/// Makes it and enters it. Call it inside new namespaces only.
pub fn enter(contents: &Contents) -> Result<(), Trouble> {
    namespace::usual_umask();
    at("/", namespace::keep_mounts_private())?;
    // Any folder will do to stand on: nobody outside sees what is mounted here.
    let root = Path::new("/tmp");
    at(root, namespace::mount_memory(root, 0o755, BYTES_MAX))?;
    for folder in ["etc", "dev", "proc", "sys", "root", "run", "tmp", "var", "persist", "mnt"] {
        make_folder(&root.join(folder))?;
    }
    for folder in ["var/lib", "var/log", "var/tmp", "etc/s6-rc", "etc/s6-rc/compiled"] {
        make_folder(&root.join(folder))?;
    }
    at(root, symlink("../run", root.join("var/run")))?;
    let open_to_all = fs::Permissions::from_mode(0o1777);
    at(root, fs::set_permissions(root.join("tmp"), open_to_all))?;
    programs(root)?;
    settings(root)?;
    devices(&root.join("dev"))?;
    let run = root.join("run");
    at(&run, namespace::mount_memory(&run, 0o755, BYTES_MAX))?;
    // Denied where this machine hides parts of its own; nothing here needs it.
    let _ = namespace::mount_sys(&root.join("sys"));
    write_contents(root, contents)?;
    at("/proc", namespace::lend_proc(root))?;
    at(root, namespace::enter_root(root))
}

fn write_contents(root: &Path, contents: &Contents) -> Result<(), Trouble> {
    let ward = root.join(&WARD[1..]);
    make_folder(&ward)?;
    at(&ward, contents.ward.write(&ward.join("ward")))?;
    for name in &contents.applets {
        at(&ward, symlink("ward", ward.join(name)))?;
    }
    let etc = root.join("etc/s6-rc");
    at(&etc, contents.sources.write(&etc.join("source")))?;
    let database = etc.join("compiled/boot");
    // The modes that it gives are meant as they are.
    os::files::clear_umask();
    at(&database, source_dir::write(&database, &contents.tree, &contents.compiled))?;
    namespace::usual_umask();
    at(&etc, symlink("boot", etc.join("compiled/current")))
}

/// `/usr`, and what in `/` belongs to it: links into it where the two are one.
fn programs(root: &Path) -> Result<(), Trouble> {
    for name in ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        let (here, there) = (Path::new("/").join(name), root.join(name));
        let Ok(about) = fs::symlink_metadata(&here) else { continue };
        if about.is_symlink() {
            at(&there, fs::read_link(&here).and_then(|target| symlink(target, &there)))?;
        } else {
            make_folder(&there)?;
            at(&here, namespace::bind_read_only(&here, &there))?;
        }
    }
    Ok(())
}

fn settings(root: &Path) -> Result<(), Trouble> {
    let etc = root.join("etc");
    for (name, text) in [
        ("passwd", PASSWD),
        ("group", GROUP),
        ("hosts", HOSTS),
        ("shells", "/bin/sh\n"),
        ("resolv.conf", "nameserver 127.0.0.1\n"),
    ] {
        at(etc.join(name), fs::write(etc.join(name), text))?;
    }
    for name in FROM_ETC {
        match fs::copy(Path::new("/etc").join(name), etc.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err((etc.join(name), error));
            }
            _ => {}
        }
    }
    let alternatives = Path::new("/etc/alternatives");
    if alternatives.exists() {
        make_folder(&etc.join("alternatives"))?;
        let bound = namespace::bind_read_only(alternatives, &etc.join("alternatives"));
        at(alternatives, bound)?;
    }
    Ok(())
}

/// The devices that are the same for everybody, and terminals of its own.
fn devices(dev: &Path) -> Result<(), Trouble> {
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        let (here, there) = (Path::new("/dev").join(name), dev.join(name));
        at(&there, fs::write(&there, ""))?;
        at(&here, namespace::bind(&here, &there))?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        at(dev.join(name), symlink(target, dev.join(name)))?;
    }
    for name in ["pts", "shm"] {
        make_folder(&dev.join(name))?;
    }
    at(dev.join("pts"), namespace::mount_terminals(&dev.join("pts")))
}

fn make_folder(path: &Path) -> Result<(), Trouble> {
    at(path, fs::create_dir(path))
}

fn at<T>(path: impl AsRef<Path>, outcome: io::Result<T>) -> Result<T, Trouble> {
    outcome.map_err(|error| (path.as_ref().to_owned(), error))
}
