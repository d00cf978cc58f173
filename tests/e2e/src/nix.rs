//! Builds with Nix: of the sources at hand, into a store below cargo's folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::sync::OnceLock;

use crate::{build, doorward, ward};

const HERE: &str = "x86_64-unknown-linux-musl";

/// The top of the sources.
pub fn sources() -> &'static Path {
    static SOURCES: OnceLock<PathBuf> = OnceLock::new();
    SOURCES.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        root.canonicalize().expect("the sources are where they were built")
    })
}

/// Cargo's folder.
pub fn target() -> &'static Path {
    doorward().ancestors().nth(2).expect("a program lies in a folder of cargo's")
}

/// The store of all tests: what one has built the next one finds.
pub fn store() -> PathBuf {
    target().join("store")
}

/// Where a store path lies.
pub fn on_disk(path: &str) -> PathBuf {
    store().join(path.trim_start_matches('/'))
}

/// The programs that go into builds, as tests build them, without what debuggers read.
fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let folder = target().join("for-nix");
        let builder = build("host", Some(HERE)).join("doorward");
        for (name, program) in [("ward", ward()), ("doorward", builder.as_path())] {
            place(&folder, HERE, name, |to| {
                Command::new("strip").arg("-o").arg(to).arg(program).status()
            });
        }
        folder
    })
}

/// Has a program of this name put where builds look for those of a processor.
fn place(folder: &Path, triple: &str, name: &str, put: impl Fn(&Path) -> io::Result<ExitStatus>) {
    let release = folder.join(triple).join("release");
    fs::create_dir_all(&release).expect("a folder can be made");
    let partial = release.join(format!(".{name}.{}", std::process::id()));
    let put = put(&partial);
    assert!(put.as_ref().is_ok_and(ExitStatus::success), "{name} for {triple}: {put:?}");
    // The same bytes keep their store path; other tests may be reading the old ones.
    fs::rename(&partial, release.join(name)).expect("a file can be renamed");
}

/// Builds modules that kernels lack, where that was not done yet.
pub fn prepare_modules() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        crate::stdout(command(doorward()).args(["packages", "modules"]));
    });
}

/// Builds what devices with other processors than this one's take: `ward` as it ships, and modules.
pub fn prepare_devices() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut cross = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // As `cargo xtask check` calls it before: what differs would be built again.
        cross.current_dir(sources()).args(["xtask", "cross", "aarch64", "mipsel"]);
        crate::stdout(&mut cross);
        for triple in ["aarch64-unknown-linux-musl", "mipsel-unknown-linux-musl"] {
            let built = target().join(triple).join("release/ward");
            place(programs(), triple, "ward", |to| Command::new("cp").arg(&built).arg(to).status());
        }
        prepare_modules();
    });
}

/// Debian's packages, of all processors that there are devices for.
fn packages() -> PathBuf {
    static FETCHED: OnceLock<()> = OnceLock::new();
    FETCHED.get_or_init(|| {
        let mut command = Command::new(doorward());
        command.current_dir(sources()).args(["packages", "fetch"]);
        let output = command.output().expect("doorward runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "packages cannot be fetched from Debian's archive:\n{said}"
        );
    });
    target().join("packages")
}

/// A program of Nix's or `doorward`, with everything that a build needs around it.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(sources());
    as_builds_want(&mut command);
    command
}

/// The environment that a build needs.
pub fn as_builds_want(command: &mut Command) {
    command.env("NIX_CONFIG", "build-users-group =\nsubstituters =\n");
    command.env("NIX_PATH", "").env_remove("NIX_REMOTE");
    command.env("DOORWARD_PROGRAMS", programs()).env("DOORWARD_PACKAGES", packages());
}

/// `doorward build` of a configuration, with further words.
pub fn try_build(configuration: &Path, words: &[&str]) -> Output {
    let mut command = command(doorward());
    command.arg("build").arg("--store").arg(store()).arg("--no-out-link");
    command.arg("-c").arg(configuration).args(words);
    command.output().expect("doorward runs")
}

/// The same, which must succeed: store paths as the device sees them.
pub fn built(configuration: &Path, words: &[&str]) -> Vec<String> {
    let output = try_build(configuration, words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("paths are text");
    let store = store().display().to_string();
    text.lines().map(|line| line.strip_prefix(&store).unwrap_or(line).to_owned()).collect()
}

/// A store path with all that it needs.
pub fn closure(path: &str) -> Vec<String> {
    let mut command = command("nix-store");
    command.arg("--store").arg(store()).args(["-qR", path]);
    crate::stdout(&mut command).lines().map(str::to_owned).collect()
}

/// A configuration that needs no long build.
pub const SMALL: &str = "{ pkgs, ... }: {
  hostname = \"small\";
  services.ssh = pkgs.svc.ssh.build { };
  users.root.openssh.authorizedKeys.keys = [ \"ssh-ed25519 AAAA somebody\" ];
  filesystem.\"/etc/motd\".text = \"hello\\n\";
  filesystem.\"/persist/token\" = { text = \"t\"; mode = \"0600\"; user = \"nobody\"; };
  filesystem.\"/home/tool\" = { text = \"#!/bin/sh\\n\"; executable = true; mode = \"0750\"; user = \"nobody\"; };
}
";

/// The text of a file in the store.
pub fn read(path: &str) -> String {
    fs::read_to_string(on_disk(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
