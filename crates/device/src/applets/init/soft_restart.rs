//! Into maintenance: `engine::flash::soft_restart`, carried out by pid 1.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use cli::{Exit, Failure};
use engine::flash::soft_restart::{Order, Outcome, SoftRestart, Step};
use model::deploy::maintenance::{MARK, OLD, STAY};
use model::service::request::End;
use model::time::Moment;
use os::clock;
use os::flash::{ramdisk, soft_restart as linux};
use os::sys::{children, exec, inherit, signals};
use os::trouble::Trouble;
use os::watchdog::Watchdog;

use super::super::logger;
use super::Kind;
use super::early;
use super::program::Program;

/// The first word for the program that this one becomes in the new root.
pub const ARRIVES: &str = "--levitated";

/// What is executed there.
const INIT: &str = "/boot/system/init";

/// The watchdog, where nobody has it.
const WATCHDOG: &str = "/dev/watchdog";

/// Seconds that the watchdog has patience while nobody may feed it: swap is ended, file systems are unmounted,
/// and the new system starts, each of which holds pid 1 up, and all of them on a machine that has others to
/// serve as well. Not every watchdog can wait as long. Whoever feeds it next says anew how long.
const PATIENCE: [u32; 2] = [120, 60];

/// From one feeding of the watchdog to the next: they bite after some seconds, or later.
const PAT: std::time::Duration = std::time::Duration::from_secs(1);

impl Program {
    /// Whether a restart goes into a maintenance system that lies ready.
    pub fn may_levitate(&self) -> bool {
        self.first && self.config.kind == Kind::Init && ramdisk::is_ready()
    }

    /// Takes the watchdog over from the service that has it, before that one ends.
    pub fn take_watchdog(&mut self) {
        match Watchdog::take() {
            Ok((watchdog, pid)) => {
                self.say(&format!("process {pid} hands the watchdog over"));
                let _ = PATIENCE.into_iter().find(|it| watchdog.set_timeout(*it).is_ok());
                self.watchdog = Some(watchdog);
                self.next_pat = Moment::ZERO;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => self.say(&format!("cannot take the watchdog over: {error}")),
        }
    }

    /// The program before this one fell on the way to maintenance, and what it fed with it.
    pub fn take_watchdog_again(&mut self) {
        self.take_watchdog();
        if self.watchdog.is_none() {
            self.watchdog = Watchdog::open(Path::new(WATCHDOG)).ok();
        }
    }

    /// In maintenance pid 1 goes on feeding where no service does. What it had for that ended with the program
    /// before this one; where a service has it, it cannot be opened.
    pub fn feed_maintenance_again(&mut self) {
        if self.watchdog.is_none() && self.is_machine() && Path::new("/").join(MARK).exists() {
            self.watchdog = Watchdog::open(Path::new(WATCHDOG)).ok();
        }
    }

    pub fn feed_watchdog(&mut self, now: Moment) {
        if self.next_pat <= now {
            self.pat();
            self.next_pat = now + PAT;
        }
    }

    fn pat(&self) {
        if let Some(watchdog) = &self.watchdog {
            let _ = watchdog.pat();
        }
    }

    /// Nobody has logged in to maintenance: the system on flash is better than that.
    pub fn give_up_waiting(&mut self) {
        self.nobody_until = None;
        if !Path::new(STAY).exists() {
            let text = "nobody has come to maintenance: back to the system on flash";
            early::say(text);
            self.say(text);
            self.shut_down(End::Hard);
        }
    }

    /// Leaves for the maintenance system. Comes back where that cannot be; the machine is to be restarted
    /// then.
    pub fn leave(&mut self) {
        early::say("all services are down; the flash is left for the system in memory");
        self.pat();
        if let Err(error) = linux::keep_log(&self.config.boot.logs) {
            early::say(&format!("the log stays behind: {error}"));
        }
        let mut machine = SoftRestart::leave();
        loop {
            let order = machine.next(clock::now(), false);
            self.pat();
            let done = match order {
                Order::EndSwap => linux::end_swap(),
                Order::TakeAlong => linux::take_along(),
                Order::Enter => linux::enter(),
                Order::Become => Err(self.become_its_init()),
                Order::Reboot(step) => return give_up(step),
                // Those are the new program's.
                _ => Ok(()),
            };
            machine.done(clock::now(), outcome(done));
        }
    }

    fn become_its_init(&mut self) -> Trouble {
        let mut words = vec![INIT.into(), ARRIVES.into()];
        if self.config.container {
            words.push(OsString::from("--container"));
        }
        inherit::keep_standard_streams();
        if let Some(number) = self.watchdog.as_ref().and_then(|watchdog| watchdog.hand_on().ok()) {
            words.extend(["--watchdog".into(), number.to_string().into()]);
        }
        signals::unblock_all();
        Trouble { what: format!("start {INIT} in memory"), error: exec::exec(&words, None) }
    }
}

/// What has failed is said where somebody may hear it: the log ends with the system.
fn outcome(done: Result<(), Trouble>) -> Outcome {
    match done {
        Ok(()) => Outcome::Done,
        Err(trouble) => {
            early::say(&trouble.to_string());
            Outcome::Failed
        }
    }
}

fn give_up(step: Step) {
    let why = match step {
        Step::EndSwap => "swap could not be ended",
        Step::TakeAlong | Step::Enter => "the root directory in memory could not be entered",
        Step::Become => "there is nothing to start in it",
        Step::Unmount | Step::Prove => "something holds the flash",
    };
    early::say(&format!("no maintenance, as {why}: the machine restarts into the system on flash"));
}

/// In the new root: gets rid of the old one, and goes on only once nothing holds the flash. Otherwise
/// the machine restarts.
pub fn arrive(words: &mut Vec<OsString>) -> Result<(), Failure> {
    // The kernel's console may have been that of the old root's.
    let _ = inherit::open_standard_streams("/dev/null");
    let watchdog = watchdog_of(words);
    let mut machine = SoftRestart::arrive(clock::now());
    let mut left: Vec<PathBuf> = Vec::new();
    let mut held: Vec<String> = Vec::new();
    loop {
        reap();
        if let Some(watchdog) = &watchdog {
            let _ = watchdog.pat();
        }
        let now = clock::now();
        let done = match machine.next(now, children::any()) {
            Order::Signal(signal) => {
                children::kill_everyone(signal);
                Outcome::Done
            }
            Order::FreeLoops => {
                linux::free_loops();
                Outcome::Done
            }
            Order::Unmount => {
                left = linux::unmount_old(|| {
                    if let Some(watchdog) = &watchdog {
                        let _ = watchdog.pat();
                    }
                });
                if left.is_empty() { Outcome::Done } else { Outcome::Failed }
            }
            Order::Prove => {
                held = linux::holders();
                if held.is_empty() { Outcome::Done } else { Outcome::Failed }
            }
            Order::Wait(until) => {
                std::thread::sleep(until.since(now));
                continue;
            }
            Order::Serve => break,
            Order::Reboot(step) => {
                say_what_holds(&left, &held);
                give_up(step);
                return Err(restart());
            }
            _ => Outcome::Done,
        };
        machine.done(clock::now(), done);
    }
    if let Some(watchdog) = watchdog {
        // The number stays open for the program that this one is about to be.
        let _ = watchdog.hand_on();
        std::mem::forget(watchdog);
    }
    let until = clock::now() + ramdisk::patience();
    words.extend(["--nobody-until".into(), until.nanos().to_string().into()]);
    Ok(())
}

fn reap() {
    while let Some((pid, _)) = children::peek() {
        children::reap(pid);
    }
}

/// The watchdog that the words speak of.
fn watchdog_of(words: &[OsString]) -> Option<Watchdog> {
    let at = words.iter().position(|word| word == "--watchdog")?;
    Watchdog::inherited(words.get(at + 1)?.to_str()?.parse().ok()?)
}

fn say_what_holds(left: &[PathBuf], held: &[String]) {
    for point in left {
        let point = point.display().to_string();
        let was = point.strip_prefix(&format!("/{OLD}")).unwrap_or(&point);
        early::say(&format!("{} cannot be unmounted", if was.is_empty() { "/" } else { was }));
    }
    for user in linux::users(left) {
        early::say(&format!("it is in use by {user}"));
    }
    for what in held {
        early::say(what);
    }
}

/// Restarts the machine from here; a container ends.
fn restart() -> Failure {
    if os::namespace::is_machines() {
        if let Err(trouble) = os::deploy::mounts::unmount_all() {
            early::say(&trouble.to_string());
        }
        let error = os::sys::reboot::end_machine(End::Reboot);
        early::say(&format!("cannot reboot: {error}"));
    }
    Failure::new(Exit::NOT_ACHIEVED, "maintenance could not be entered")
}

/// Once early boot of the new system is over: its log goes on where the old one has ended.
pub fn settle(words: &mut [OsString], said: &mut Vec<String>) {
    let at = words.iter().position(|word| word == "-L");
    let directory = at.and_then(|at| words.get(at + 1)).map(PathBuf::from);
    let directory = directory.unwrap_or_else(|| PathBuf::from(logger::DIRECTORY));
    let mut say = |text: String| {
        early::say(&text);
        said.push(text);
    };
    if let Err(trouble) = linux::give_room() {
        say(trouble.to_string());
    }
    if let Err(error) = linux::put_log(&directory) {
        say(format!("the log of before is lost: {error}"));
    }
    say("this is maintenance: the system runs in memory, and nothing holds the flash".into());
}
