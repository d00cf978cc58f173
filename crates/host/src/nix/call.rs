//! Nix's programs, with the settings that a machine without a Nix of its own needs.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use cli::Failure;

use super::messages::Messages;
use crate::places;

/// How Nix is called in this run.
pub struct Nix {
    /// A store that is not /nix/store.
    pub store: Option<PathBuf>,
    expressions: PathBuf,
    settings: OsString,
}

impl Nix {
    /// `store`: where the user wants the store to be.
    pub fn new(expressions: &Path, store: Option<PathBuf>, has_nixpkgs: bool) -> Self {
        let store = store.or_else(|| own_store(expressions));
        Self { store, expressions: expressions.to_owned(), settings: settings(has_nixpkgs) }
    }

    /// A program of Nix's, such as `nix-build`.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("NIX_CONFIG", &self.settings);
        command.env(places::PROGRAMS, places::programs(&self.expressions));
        command.env(places::PACKAGES, places::packages(&self.expressions));
        if let Some(store) = &self.store {
            command.arg("--store").arg(store);
        }
        command
    }

    /// Where a store path lies on this machine.
    pub fn on_disk(&self, path: &str) -> PathBuf {
        match &self.store {
            Some(store) => store.join(&path[1..]),
            None => path.into(),
        }
    }

    /// What a program prints; nothing is shown meanwhile.
    pub fn ask(&self, command: &mut Command) -> Result<String, Failure> {
        let output = started(command.output(), command)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let mut messages = Messages::default();
        for line in String::from_utf8_lossy(&output.stderr).lines() {
            messages.hear(line);
        }
        Err(messages.failure())
    }

    /// What a build prints, a store path a line. Progress is shown while it goes on.
    pub fn build(&self, command: &mut Command) -> Result<Vec<String>, Failure> {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = started(child, command)?;
        let mut stdout = child.stdout.take().expect("it was asked for");
        let paths = std::thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).map(|_| text)
        });
        let mut messages = Messages::default();
        let mut lines = BufReader::new(child.stderr.take().expect("it was asked for"));
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&line);
            if let Some(shown) = messages.hear(text.trim_end_matches('\n')) {
                eprintln!("{shown}");
            }
            line.clear();
        }
        let status = started(child.wait(), command)?;
        let paths = paths.join().expect("it does not panic");
        let paths = started(paths, command)?;
        match status.success() {
            true => Ok(paths.lines().map(str::to_owned).collect()),
            false => Err(messages.failure()),
        }
    }
}

fn started<T>(outcome: io::Result<T>, command: &Command) -> Result<T, Failure> {
    outcome.map_err(|error| {
        let program = command.get_program().display();
        let failure = Failure::refused(format!("cannot run {program}: {error}"));
        match error.kind() {
            io::ErrorKind::NotFound => {
                failure.hint("Nix builds everything: `./setup` installs it (Debian's nix-bin)")
            }
            _ => failure,
        }
    })
}

/// What a machine needs on which nobody has set up Nix; what the user has set comes behind it,
/// and counts.
fn settings(has_nixpkgs: bool) -> OsString {
    let mut settings = OsString::new();
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    // Root builds as users of this group, and gives up where there is none.
    if !groups.lines().any(|line| line.starts_with("nixbld:")) {
        settings.push("build-users-group =\n");
    }
    // Nothing here comes from somewhere else, and each question to nobody takes seconds.
    if !has_nixpkgs {
        settings.push("substituters =\n");
    }
    if let Some(users) = env::var_os("NIX_CONFIG") {
        settings.push(users);
    }
    settings
}

/// A store of its own for who has no Nix and may not make one in /nix, or wants another.
fn own_store(expressions: &Path) -> Option<PathBuf> {
    if let Some(named) = env::var_os(places::STORE) {
        return Some(named.into());
    }
    let has_daemon = Path::new("/nix/var/nix/daemon-socket/socket").exists();
    if env::var_os("NIX_REMOTE").is_some() || has_daemon {
        return None;
    }
    // The owner of one's own process is oneself.
    let me = fs::metadata("/proc/self").map(|about| about.uid()).unwrap_or(0);
    let owner = fs::metadata("/nix/store").map(|about| about.uid()).ok();
    if me == 0 || owner == Some(me) { None } else { Some(places::store(expressions)) }
}

/// Whether nixpkgs is found in the way in which default.nix looks for it.
pub fn has_nixpkgs(words: &[OsString]) -> bool {
    let mut command = Command::new("nix-instantiate");
    command.args(["--store", "dummy://", "--eval"]);
    command.args(["--expr", "(builtins.tryEval <nixpkgs>).success"]).args(words);
    let printed = command.stderr(Stdio::null()).output();
    matches!(printed, Ok(Output { stdout, .. }) if stdout.starts_with(b"true"))
}
