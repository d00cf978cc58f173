//! What every measurement is given.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use e2e::Folder;

use crate::cores::Cores;
use crate::series::Series;
use crate::tree::{Keeper, installed};

pub struct Bench {
    pub cores: Cores,
    /// The `ward` that is measured.
    pub ward: PathBuf,
    /// How often the slow things are measured; the fast ones more often.
    pub runs: usize,
    /// Few services and few runs: to see that everything works.
    pub quick: bool,
    applets: Folder,
    /// The peers that are installed.
    pub peers: Vec<Keeper>,
}

impl Bench {
    pub fn new(ward: PathBuf, runs: usize, quick: bool) -> Self {
        let applets = Folder::new("bench-applets");
        let list = e2e::stdout(Command::new(&ward).arg("--list"));
        for name in list.lines().chain(["ward"]) {
            std::os::unix::fs::symlink(&ward, applets.join(name)).expect("a link can be made");
        }
        let peers = [(Keeper::S6, "s6-svscan"), (Keeper::Runit, "runsvdir")];
        let peers = peers.into_iter().filter(|(_, program)| installed(program));
        let peers = peers.map(|(keeper, _)| keeper).collect();
        Self { cores: Cores::choose(), ward, runs, quick, applets, peers }
    }

    /// `ward` under the name of one of its applets.
    pub fn applet(&self, name: &str) -> Command {
        command(self.applets.join(name))
    }

    /// `count`, or few in quick mode.
    pub fn scale(&self, count: usize) -> usize {
        if self.quick { (count / 50).max(5) } else { count }
    }

    /// How long a command takes on the measured core, from before its start
    /// until it has ended.
    pub fn time(&self, command: &mut Command) -> Duration {
        self.cores.measured(|| time(command))
    }

    /// Times short commands, some runs of each in turn, so that what disturbs
    /// the machine meets them alike. The first run of some is not counted: it
    /// finds what another program has left in the processor's caches.
    pub fn time_in_turn<const N: usize>(&self, mut commands: [Command; N]) -> [Series; N] {
        const RUNS: usize = 20;
        let mut series = [const { Series::new() }; N];
        let turns = if self.quick { 1 } else { 5 * self.runs };
        // Staying there: a change of the core costs more than such a command.
        self.cores.measured(|| {
            for _ in 0..turns {
                for (command, series) in commands.iter_mut().zip(&mut series) {
                    time(command);
                    for _ in 0..RUNS {
                        series.push_ms(time(command));
                    }
                }
            }
        });
        series
    }
}

/// # Panics
/// Where it fails: its time would mean nothing.
fn time(command: &mut Command) -> Duration {
    let start = Instant::now();
    let status = command.status();
    let time = start.elapsed();
    match status {
        Ok(status) if status.success() => time,
        other => panic!("{command:?} failed: {other:?}"),
    }
}

/// A command with a small environment and nothing to read, whose output goes nowhere.
pub fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env_clear().env("PATH", "/usr/bin:/usr/sbin:/bin:/sbin");
    // Opened here rather than anew at each start.
    let null = || File::options().read(true).write(true).open("/dev/null").expect("/dev/null");
    command.stdin(null()).stdout(null());
    command
}

pub fn path_text(path: &Path) -> &str {
    path.to_str().expect("folders of the bench have plain names")
}
