//! What an update costs on a slow line: `doorward copy` beside `nix copy` and beside a pipe with `tar`.
//!
//! The device is a folder behind dropbear; the line is [`crate::link`]'s. Everything that is copied is built
//! from the example's configuration, as `doorward rebuild` does.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use e2e::nix::{self, sources, store};
use e2e::ssh_server::SshServer;
use e2e::store::{events, named};
use e2e::{Folder, doorward, stdout};

use crate::bench::Bench;
use crate::link::{Link, Shape};
use crate::series::Series;

/// 10 Mbit/s and 70 ms.
const SHAPE: Shape = Shape { bits_per_second: 10e6, round_trip: Duration::from_millis(70) };
/// Medians of more would take half an hour of waiting for `tar`.
const RUNS_MAX: usize = 3;
/// What a library is that people update for its security: one that tcpdump is linked with, and the one that
/// all are linked with.
const LIBRARIES: [&str; 2] = ["libssl3", "libc6"];

/// Measures, and prints the table. `quick`: once, and only what needs no long builds.
pub fn measure(bench: &Bench) {
    let place = Place::new(bench);
    let runs = if bench.quick { 1 } else { bench.runs.min(RUNS_MAX) };
    let here = sources().to_owned();
    let base = place.build(&here, None, 100_001);
    let mut changes = vec![
        Change::new("nothing", &base, &base, Reach::Both(2.0, 50e3)),
        Change::new(
            "the script of one service",
            &base,
            &place.build(&here, None, 100_002),
            Reach::Both(5.0, 50e3),
        ),
    ];
    if !bench.quick {
        let anew = place.build(&place.with_another_unpacker(), None, 100_001);
        let what = "every hash, and nothing else";
        changes.push(Change::new(what, &base, &anew, Reach::OfTar(0.02)));
        for library in LIBRARIES {
            changes.extend(place.updated(library, &base));
        }
    }
    println!(
        "| what changes | `doorward copy` | to reach | reached | `nix copy` | with compression | `tar` | `tar` and `gzip` |\n\
         |---|---|---|---|---|---|---|---|"
    );
    for change in &changes {
        eprintln!("bench: copy: {}", change.what);
        place.prepare(&change.old);
        let mut figures = WAYS.map(|way| (way, Figure::default()));
        for _ in 0..runs {
            for (way, figure) in &mut figures {
                figure.add(place.copy(*way, change));
            }
        }
        println!("{}", change.row(&place, &figures.map(|(_, figure)| figure)));
    }
    let most = place.peak();
    println!("\nMemory of the receiver: {most} kB at most, to reach 8192: {}", yes(most <= 8192));
    assert!(most > 0, "nobody saw it");
}

fn yes(reached: bool) -> &'static str {
    if reached { "yes" } else { "**no**" }
}

/// How paths are brought.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Doorward,
    Nix { compress: bool },
    Tar { gzip: bool },
}

const WAYS: [Way; 5] = [
    Way::Doorward,
    Way::Nix { compress: false },
    Way::Nix { compress: true },
    Way::Tar { gzip: false },
    Way::Tar { gzip: true },
];

impl Way {
    /// The folder below that of the bench with what the device has before.
    fn before(self) -> &'static str {
        match self {
            Self::Doorward => "before-doorward",
            Self::Nix { .. } => "before-nix",
            Self::Tar { .. } => "before-tar",
        }
    }
}

/// What is to be reached: seconds and bytes, or a part of something.
enum Reach {
    Both(f64, f64),
    /// Of the bytes that `tar` needs.
    OfTar(f64),
    /// Of the bytes of all missing paths, each compressed whole with `xz`.
    OfWhole(f64),
}

struct Change {
    what: String,
    old: String,
    new: String,
    reach: Reach,
    missing: Vec<String>,
}

impl Change {
    fn new(what: impl Into<String>, old: &str, new: &str, reach: Reach) -> Self {
        let had: BTreeSet<String> = nix::closure(old).into_iter().collect();
        let missing = nix::closure(new).into_iter().filter(|path| !had.contains(path)).collect();
        Self { what: what.into(), old: old.into(), new: new.into(), reach, missing }
    }

    fn row(&self, place: &Place, figures: &[Figure; 5]) -> String {
        let [own, .., tar, _] = figures;
        let (bytes, seconds) = (own.bytes.median(), own.seconds.median());
        let (to_reach, reached) = match self.reach {
            Reach::Both(most, bytes_max) => (
                format!("≤ {most} s, ≤ {}", kilobytes(bytes_max)),
                seconds <= most && bytes <= bytes_max,
            ),
            Reach::OfTar(part) => {
                let found = bytes / tar.bytes.median();
                let percent = part * 100.0;
                (format!("≤ {percent} % of `tar`: {:.2} %", found * 100.0), found <= part)
            }
            Reach::OfWhole(part) => {
                let whole = place.compressed(&self.missing);
                let found = bytes / whole;
                let percent = part * 100.0;
                let found_percent = found * 100.0;
                (
                    format!("≤ {percent} % of {} by `xz`: {found_percent:.1} %", kilobytes(whole)),
                    found <= part,
                )
            }
        };
        let [own, others @ ..] = figures.each_ref().map(Figure::shown);
        format!(
            "| {} ({} paths) | {own} | {to_reach} | {} | {} |",
            self.what,
            self.missing.len(),
            yes(reached),
            others.join(" | ")
        )
    }
}

/// What a way took.
#[derive(Default)]
struct Figure {
    bytes: Series,
    seconds: Series,
}

impl Figure {
    fn add(&mut self, (bytes, time): (u64, Duration)) {
        self.bytes.push(bytes as f64);
        self.seconds.push(time.as_secs_f64());
    }

    fn shown(&self) -> String {
        format!("{}, {:.2} s", kilobytes(self.bytes.median()), self.seconds.median())
    }
}

fn kilobytes(bytes: f64) -> String {
    match bytes {
        0.0..1e6 => format!("{:.1} kB", bytes / 1e3),
        _ => format!("{:.2} MB", bytes / 1e6),
    }
}

/// The build machine, the line and the device.
struct Place {
    /// Of a device that has little more than a shell.
    quick: bool,
    folder: Folder,
    server: SshServer,
    link: Link,
}

impl Place {
    fn new(bench: &Bench) -> Self {
        let server = SshServer::start("");
        let link = Link::new(server.port, SHAPE);
        let quick = bench.quick;
        let place = Self { quick, folder: Folder::new("bench-copy"), server, link };
        // How much memory the receiver had at its largest, while it runs.
        let script = format!(
            "exec 3<&0; {} store receive --root {} <&3 & pid=$!\n\
             while kill -0 $pid 2>/dev/null; do grep VmHWM /proc/$pid/status >>{} 2>/dev/null; sleep 0.05; done\n\
             wait $pid\n",
            bench.ward.display(),
            place.device().display(),
            place.folder.join("peak").display()
        );
        place.folder.write("receive", script);
        place
    }

    /// The root directory of the device.
    fn device(&self) -> PathBuf {
        self.folder.join("device")
    }

    /// What a router runs, and a program that somebody looks at packets with; built of the expressions in
    /// a folder and of fetched packages.
    fn build(&self, from: &Path, packages: Option<&Path>, seconds: u32) -> String {
        let example = sources().join("examples/configuration.nix").display().to_string();
        let all = format!("imports = [ {example} ]; defaultProfile.packages = [ pkgs.tcpdump ];");
        let text = format!(
            "{{ pkgs, ... }}: {{
               {}
               services.moves = pkgs.svc.longrun {{ name = \"moves\"; run = \"exec sleep {seconds}\"; }};
             }}",
            if self.quick { "" } else { &all }
        );
        let file = self.folder.write("configuration.nix", text);
        let mut command = nix::command(doorward());
        command.current_dir(from).args(["build", "--no-out-link", "--store"]).arg(store());
        command.args(["-d", "qemu-x86_64", "-A", "outputs.systemConfiguration", "-c"]).arg(file);
        if let Some(packages) = packages {
            command.env("DOORWARD_PACKAGES", packages);
        }
        let path = stdout(&mut command);
        let path = path.trim();
        path.strip_prefix(&store().display().to_string()).unwrap_or(path).to_owned()
    }

    /// The expressions in a folder of their own.
    fn expressions(&self, name: &str) -> PathBuf {
        let to = self.folder.join(name);
        fs::create_dir_all(&to).expect("a folder can be made");
        let mut copy = Command::new("cp");
        copy.arg("-a").args(["default.nix", "nix", "devices", "examples"]).arg(&to);
        stdout(copy.current_dir(sources()));
        to
    }

    /// Expressions by which every package is built anew, and becomes what it was.
    fn with_another_unpacker(&self) -> PathBuf {
        let folder = self.expressions("anew");
        let script = folder.join("nix/packages/unpack.sh");
        let text = fs::read_to_string(&script).expect("it is there") + "# once more\n";
        fs::write(script, text).expect("it can be changed");
        folder
    }

    /// From the version of a package that was before to the one of the lock file; nothing, and why, where
    /// the archive has no older one.
    fn updated(&self, name: &str, new: &str) -> Option<Change> {
        let from = self.expressions(&format!("older-{name}"));
        let packages = self.folder.join(format!("packages-{name}"));
        let fetched = nix::target().join("packages");
        // Links: only what differs is downloaded.
        stdout(Command::new("cp").arg("-al").arg(&fetched).arg(&packages));
        let ask = |words: &[&str]| {
            let mut command = Command::new(doorward());
            command.current_dir(&from).env("DOORWARD_PACKAGES", &packages);
            command.arg("packages").args(words).output().expect("doorward runs")
        };
        let older = ask(&["older", name, "amd64"]);
        let said = String::from_utf8_lossy(&older.stdout).into_owned();
        let told = said.trim().rsplit_once(&format!("{name} ")).map(|(_, rest)| rest);
        let versions = told.and_then(|told| told.split_once(" instead of "));
        let Some((older_version, newer)) = versions.filter(|_| older.status.success()) else {
            let why = String::from_utf8_lossy(&older.stderr);
            eprintln!("bench: copy: {name} has no row: {}", why.trim());
            return None;
        };
        let fetched = ask(&["fetch", "amd64", "--locked"]);
        assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));
        let old = self.build(&from, Some(&packages), 100_001);
        let what = format!("{name} {older_version} to {newer}");
        Some(Change::new(what, &old, new, Reach::OfWhole(0.15)))
    }

    /// Bytes of paths that are compressed each for itself.
    fn compressed(&self, paths: &[String]) -> f64 {
        let size = |path: &String| -> f64 {
            let line = "nix-store --store \"$1\" --dump \"$0\" | xz -6 | wc -c";
            let mut command = nix::command("sh");
            command.args(["-c", line]).arg(nix::on_disk(path)).arg(store());
            stdout(&mut command).trim().parse().expect("a number")
        };
        paths.iter().map(size).sum()
    }

    /// A device for each way, which has all of a generation.
    fn prepare(&self, generation: &str) {
        for way in [Way::Doorward, Way::Nix { compress: false }, Way::Tar { gzip: false }] {
            let before = self.folder.join(way.before());
            remove(&before);
            fs::create_dir_all(before.join("nix/store")).expect("a folder can be made");
            self.restore(way);
            match way {
                Way::Doorward => self.doorward(generation, self.server.port),
                Way::Nix { .. } => self.nix(generation, self.server.port, false),
                Way::Tar { .. } => self.tar(&nix::closure(generation), self.server.port, false),
            };
            fs::remove_dir_all(&before).expect("it is there");
            fs::rename(self.device(), before).expect("a folder can be renamed");
        }
    }

    /// Has the device be what it was before.
    fn restore(&self, way: Way) {
        remove(&self.device());
        let before = self.folder.join(way.before());
        stdout(Command::new("cp").arg("-a").arg(before).arg(self.device()));
        // Nothing of that is to be written while the time is taken.
        stdout(&mut Command::new("sync"));
    }

    /// Copies what a change needs, and gives the bytes on the line and the time.
    fn copy(&self, way: Way, change: &Change) -> (u64, Duration) {
        self.restore(way);
        self.link.take();
        let port = self.link.port;
        let start = Instant::now();
        match way {
            Way::Doorward => self.doorward(&change.new, port),
            Way::Nix { compress } => self.nix(&change.new, port, compress),
            Way::Tar { gzip } => self.tar(&change.missing, port, gzip),
        }
        let time = start.elapsed();
        // Goodbyes may be on their way.
        std::thread::sleep(2 * SHAPE.round_trip);
        for path in nix::closure(&change.new) {
            let place = self.device().join(&path[1..]);
            assert!(place.symlink_metadata().is_ok(), "{path} did not come");
        }
        (self.link.take(), time)
    }

    fn doorward(&self, path: &str, port: u16) {
        let mut command = nix::command(doorward());
        command.args(["copy", "--json", "--receiver"]);
        command.arg(format!("sh {}", self.folder.join("receive").display()));
        command.arg("--store").arg(store()).args(["127.0.0.1", path]);
        command.env("DOORWARD_SSH", format!("ssh {}", self.server.options(port)));
        let output = done(command.env_remove("NIX_SSHOPTS"));
        assert_eq!(named(&events(&output), "done").len(), 1);
    }

    fn nix(&self, path: &str, port: u16, compress: bool) {
        let mut command = nix::command("nix");
        command.args(["--extra-experimental-features", "nix-command", "--store"]).arg(store());
        command.args(["copy", "--no-check-sigs", "--to"]);
        let device = self.device();
        let compress = if compress { "&compress=true" } else { "" };
        command.arg(format!("ssh://127.0.0.1?remote-store={}{compress}", device.display()));
        command.arg(path).env("NIX_SSHOPTS", self.server.options(port));
        done(&mut command);
    }

    /// Asks what is there, and sends the rest.
    fn tar(&self, paths: &[String], port: u16, gzip: bool) {
        let ssh = format!("ssh {} 127.0.0.1", self.server.options(port));
        let (device, flag) = (self.device(), if gzip { "z" } else { "" });
        let device = device.display();
        let mut line = format!("{ssh} ls {device}/nix/store >/dev/null");
        if !paths.is_empty() {
            line += &format!(" && tar -c{flag}f - \"$@\" | {ssh} tar -x{flag}f - -C {device}");
        }
        let mut command = Command::new("sh");
        command.args(["-ec", &line, "sh"]).args(paths.iter().map(|path| &path[1..]));
        done(command.current_dir(store()));
    }

    /// The most memory that the receiver had, in kB.
    fn peak(&self) -> u32 {
        let peaks = fs::read_to_string(self.folder.join("peak")).unwrap_or_default();
        let kilobytes =
            peaks.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse().ok());
        kilobytes.max().unwrap_or(0)
    }
}

fn done(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

/// Removes a folder, as far as it is there: folders of a store cannot be written to.
fn remove(folder: &Path) {
    if folder.exists() {
        stdout(Command::new("chmod").args(["-R", "u+w"]).arg(folder));
        fs::remove_dir_all(folder).expect("it can be removed");
    }
}
