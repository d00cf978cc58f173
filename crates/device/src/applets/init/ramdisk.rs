//! From the kernel's hand-over in a ramdisk to the generation on the flash.

use std::path::Path;

use cli::Failure;
use model::deploy::command_line::{self, CommandLine};
use model::deploy::generation::Preparation;
use model::deploy::phases::Phase;
use os::deploy::{mounts, phases, root};
use os::flash::mtd;
use os::sys::{exec, inherit};
use os::trouble::While;

use super::early::{carry_out, read, say};

/// What this ramdisk does; its being there makes it one.
const EARLY: &str = "/early";

const MODULES: &str = "/lib/modules";

/// Where the root file system is mounted before it becomes the root.
const NEW_ROOT: &str = "/mnt";

/// What every system has, and takes along.
const SYSTEM: [(&str, &str, &str); 4] = [
    ("proc", "/proc", "nosuid,nodev,noexec"),
    ("sysfs", "/sys", "nosuid,nodev,noexec"),
    ("devtmpfs", "/dev", "nosuid,mode=0755"),
    ("tmpfs", "/run", "nosuid,nodev,mode=0755"),
];

/// Whether this program was started in a ramdisk that is its own.
pub fn is_here() -> bool {
    root::is_in_memory() && Path::new(EARLY).is_file()
}

/// Does what the ramdisk is for, and becomes the init of the root file system. Comes back where
/// that cannot be; the kernel panics once pid 1 ends, and starts again if it was told so.
pub fn leave() -> Failure {
    let begun = os::clock::now();
    for (kind, path, options) in SYSTEM {
        if let Err(error) = mounts::mount_at(kind, kind, Path::new(path), options) {
            say(&format!("cannot mount {path}: {error}"));
        }
    }
    // Without a console in the ramdisk the kernel could not open it.
    let _ = inherit::open_standard_streams("/dev/console");
    for preparation in read::<Preparation>(Path::new(EARLY), &mut |text| say(&text)) {
        if let Err(trouble) = carry_out(&preparation, Path::new(MODULES)) {
            say(&trouble.to_string());
        }
    }
    let words = std::fs::read("/proc/cmdline").unwrap_or_default();
    let words = String::from_utf8_lossy(&words);
    let line = command_line::parse(&words);
    if let Err(failure) = mount_root(&line) {
        return failure;
    }
    for (phase, at) in [(Phase::Kernel, begun), (Phase::Root, os::clock::now())] {
        let _ = phases::note(phase, at);
    }
    for (_, path, _) in SYSTEM {
        if let Err(error) = root::take_along(path, Path::new(NEW_ROOT)) {
            say(&format!("cannot take {path} along: {error}"));
        }
    }
    if let Err(trouble) = root::enter(Path::new(NEW_ROOT)).to(|| "enter the root file system") {
        return Failure::refused(trouble);
    }
    let error = exec::exec(&[line.init.into()], None);
    Failure::refused(format!(
        "cannot start {}: {error}; init= on the kernel's command line names what to start",
        line.init
    ))
}

fn mount_root(line: &CommandLine<'_>) -> Result<(), Failure> {
    let (Some(source), Some(kind)) = (line.root, line.root_type) else {
        return Err(Failure::refused(
            "there is no root file system: the kernel's command line needs root= and rootfstype=",
        ));
    };
    let access = if line.read_only { "ro" } else { "rw" };
    let options = format!("{},{access}", line.root_options);
    mtd::source(kind, source)
        .and_then(|source| mounts::mount_at(kind, &source, Path::new(NEW_ROOT), &options))
        .map_err(|error| {
            Failure::refused(format!(
                "cannot mount the root file system {source} ({kind}): {error}; does {EARLY} load \
                 all that it needs, and is there one in that place?"
            ))
        })
}
