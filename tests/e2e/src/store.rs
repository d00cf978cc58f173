//! Stores of paths that tests make up, and devices they are copied to.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use model::deploy::transfer::{FromDevice, HEAD_BYTES, ToDevice, head};
use serde_json::Value;

use crate::{Folder, documented, doorward, stdout, ward};

/// What docs/formats/json.md has about them.
pub const COPY: &str = "`doorward copy --json`";

/// What Nix needs on a machine on which nobody has set it up.
const SETTINGS: &str = "build-users-group =\nsubstituters =\n";

/// A store of a build machine.
pub struct Store(pub Folder);

/// Bytes that nobody can compress.
pub fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut dice = sim_dice(seed);
    (0..count).map(|_| dice()).collect()
}

fn sim_dice(seed: u64) -> impl FnMut() -> u8 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    }
}

/// `/nix/store/…`, its 32 letters made of one word.
pub fn path(letters: &str, name: &str) -> String {
    let hash: String = letters.chars().cycle().take(32).collect();
    format!("/nix/store/{hash}-{name}")
}

impl Store {
    pub fn new() -> Self {
        let folder = Folder::new("store");
        fs::create_dir_all(folder.join("nix/store")).expect("made");
        Self(folder)
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    /// Where a path lies.
    pub fn on_disk(&self, path: &str) -> PathBuf {
        self.0.join(&path[1..])
    }

    /// A program of Nix's, for this store.
    pub fn nix(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("NIX_CONFIG", SETTINGS).env_remove("NIX_REMOTE");
        if program == "nix" {
            command.args(["--extra-experimental-features", "nix-command"]);
        }
        command.arg("--store").arg(self.root());
        command
    }

    /// Adds a path with these files. Names that begin with `bin/` are programs.
    pub fn add(&self, path: &str, files: &[(&str, &[u8])], references: &[&str]) {
        for (name, bytes) in files {
            let file = self.0.write(PathBuf::from(&path[1..]).join(name), bytes);
            if name.starts_with("bin/") {
                use std::os::unix::fs::PermissionsExt;
                let mode = fs::Permissions::from_mode(0o755);
                fs::set_permissions(file, mode).expect("it can be changed");
            }
        }
        self.register(path, references);
    }

    /// Has Nix know a path that lies there.
    pub fn register(&self, path: &str, references: &[&str]) {
        let place = self.on_disk(path);
        let hash = stdout(Command::new("nix-hash").args(["--type", "sha256"]).arg(&place));
        let dump = Command::new("nix-store").arg("--dump").arg(&place).output().expect("it runs");
        let mut text = format!("{path}\n{}\n{}\n\n", hash.trim(), dump.stdout.len());
        text += &format!("{}\n", references.len());
        references.iter().for_each(|reference| text += &format!("{reference}\n"));
        let mut load = self.nix("nix-store");
        load.arg("--load-db").stdin(Stdio::piped());
        let mut load = load.spawn().expect("it runs");
        load.stdin.take().expect("asked for").write_all(text.as_bytes()).expect("written");
        assert!(load.wait().expect("it ends").success());
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

/// A device: a root directory, and what stands for ssh to it.
pub struct Device {
    pub folder: Folder,
    /// Called by a shell for a connection; `$command` is what ssh would call there.
    ssh: PathBuf,
}

impl Device {
    pub fn new() -> Self {
        Self::by("exec sh -c \"$command\"")
    }

    /// The same, by a connection that this script makes.
    pub fn by(script: &str) -> Self {
        let folder = Folder::new("device");
        fs::create_dir(folder.join("root")).expect("made");
        let text = format!(
            "#!/bin/sh\nfor command; do :; done\nfolder={}\n{script}\n",
            folder.path().display()
        );
        let ssh = folder.write("ssh", text);
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).expect("it can be changed");
        Self { folder, ssh }
    }

    pub fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// Where a path lies there.
    pub fn on_disk(&self, path: &str) -> PathBuf {
        self.root().join(&path[1..])
    }

    /// What is called there.
    pub fn receiver(&self) -> String {
        format!("{} store receive --root {}", ward().display(), self.root().display())
    }

    /// `ward store` with these words, there.
    pub fn ward(&self, words: &[&str]) -> Output {
        let mut command = Command::new(ward());
        command.arg("store").args(words).arg("--root").arg(self.root());
        command.output().expect("ward runs")
    }

    /// What it prints, where it succeeds.
    pub fn told(&self, words: &[&str]) -> String {
        let output = self.ward(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}{}", text(&output));
        text(&output)
    }

    /// `doorward copy` from a store to it.
    pub fn copy_command(&self, store: &Store, words: &[&str], paths: &[&str]) -> Command {
        self.bring_command("copy", store, words, paths)
    }

    /// The same for a command that takes the same words.
    pub fn bring_command(
        &self,
        name: &str,
        store: &Store,
        words: &[&str],
        paths: &[&str],
    ) -> Command {
        let mut command = Command::new(doorward());
        command.arg(name).arg("--store").arg(store.root());
        command.arg("--receiver").arg(self.receiver()).args(words).arg("device").args(paths);
        command.env("NIX_CONFIG", SETTINGS).env_remove("NIX_REMOTE");
        command.env("DOORWARD_SSH", &self.ssh).env_remove("NIX_SSHOPTS");
        command
    }

    /// Copies, which must succeed: the events of it.
    pub fn copy(&self, store: &Store, words: &[&str], paths: &[&str]) -> Vec<Value> {
        let words: Vec<&str> = ["--json"].into_iter().chain(words.iter().copied()).collect();
        let output = self.copy_command(store, &words, paths).output().expect("doorward runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{}", text(&output));
        events(&output)
    }

    /// A receiver that the test speaks with itself.
    pub fn talk(&self) -> Talk {
        let mut command = Command::new(ward());
        command.args(["store", "receive", "--root"]).arg(self.root());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("ward runs");
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("asked for"));
        Talk { child, input, output }
    }

    /// Every name below the root directory.
    pub fn names(&self) -> Vec<String> {
        let root = self.root();
        let mut names = Vec::new();
        let mut open = vec![root.clone()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).expect("it is there").flatten() {
                let name = entry.path().strip_prefix(&root).expect("below").display().to_string();
                if entry.file_type().expect("it has one").is_dir() {
                    open.push(entry.path());
                }
                names.push(name);
            }
        }
        names.sort();
        names
    }
}

impl Default for Device {
    fn default() -> Self {
        Self::new()
    }
}

/// What a program has printed.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The events of a copy, each as it is documented.
pub fn events(output: &Output) -> Vec<Value> {
    documented::events(COPY, &text(output), &[]);
    text(output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The events of this name.
pub fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

/// A conversation with a receiver.
pub struct Talk {
    pub child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
}

impl Talk {
    pub fn say(&mut self, message: &ToDevice<'_>) {
        self.say_bytes(&message.encode());
    }

    /// It may have hung up.
    pub fn say_bytes(&mut self, bytes: &[u8]) {
        if let Some(input) = &mut self.input {
            let _ = input.write_all(bytes);
        }
    }

    /// The next message; `None` at the end.
    pub fn hear(&mut self) -> Option<FromDevice> {
        use std::io::Read;
        let mut begin = [0; HEAD_BYTES];
        self.output.read_exact(&mut begin).ok()?;
        let (kind, length) = head(begin).expect("it speaks our language");
        let mut body = vec![0; length];
        self.output.read_exact(&mut body).ok()?;
        Some(FromDevice::decode(kind, &body).expect("it speaks our language"))
    }

    /// Listens until it has said what it has.
    pub fn greet(&mut self) {
        self.say(&ToDevice::Hello { version: model::deploy::transfer::VERSION });
        while self.hear().expect("it is there") != FromDevice::Ready {}
    }

    /// Hangs up, and waits for its end: what it said until then.
    pub fn end(mut self) -> Vec<FromDevice> {
        self.input = None;
        let mut said = Vec::new();
        while let Some(message) = self.hear() {
            said.push(message);
        }
        let _ = self.child.wait();
        said
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
