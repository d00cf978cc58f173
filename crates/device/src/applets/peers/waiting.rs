//! What `s6-svwait`, `s6-svlisten` and `s6-svc -w` share: the state one waits
//! for, and how waiting ends.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command as Process};
use std::time::Duration;

use cli::{Args, Exit, Failure, Opt};
use model::time::Moment;
use os::service::watch::{self, Goal, Outcome, Quorum, WatchError, Watched};
use os::sys::exec;

/// The wanted state was not reached in time.
pub const TIMED_OUT: Exit = Exit(99);
/// There is no supervisor, or no more.
pub const NOT_SUPERVISED: Exit = Exit(102);
/// More services than this may fail, but codes from 99 on mean other things.
const FAILED_MAX: usize = 98;

pub const OPTIONS: &[Opt] = &[
    Opt("-u", "Wait until they are up (the default)"),
    Opt("-U", "Wait until they are up and ready"),
    Opt("-d", "Wait until they are down"),
    Opt("-D", "Wait until they are down and finish has ended"),
    Opt("-r", "Wait until they were down and are up"),
    Opt("-R", "Wait until they were down and are ready"),
    Opt("-a", "Wait for all of them (the default)"),
    Opt("-o", "Wait for one of them"),
    Opt("-t MS", "Give up after this many milliseconds; 0: never (the default)"),
];

pub const EXIT_CODES: &str = "\
Exit codes: 0 the state is reached, 1 to 98 so many services failed for good,
99 timed out, 100 wrong usage, 102 not supervised or the supervisor ended, 111
the system refused.";

/// The state that a letter of `-w` means.
pub fn goal(letter: &str) -> Option<Goal> {
    let (up, ready, restarted) = match letter {
        "u" => (true, false, false),
        "U" => (true, true, false),
        "d" => (false, false, false),
        "D" => (false, true, false),
        "r" => (true, false, true),
        "R" => (true, true, true),
        _ => return None,
    };
    Some(Goal { up, ready, restarted })
}

/// What the options of [`OPTIONS`] ask for.
pub struct Wish {
    pub goal: Goal,
    quorum: Quorum,
    deadline: Option<Moment>,
}

impl Wish {
    /// Reads all options; operands come next.
    pub fn read(args: &mut Args) -> Result<Self, Failure> {
        let mut wish = Self {
            goal: Goal { up: true, ..Goal::default() },
            quorum: Quorum::All,
            deadline: None,
        };
        while let Some(option) = args.option()? {
            match option.as_str() {
                "a" => wish.quorum = Quorum::All,
                "o" => wish.quorum = Quorum::One,
                "t" => wish.deadline = deadline(args)?,
                letter => wish.goal = goal(letter).ok_or_else(|| args.unknown(letter))?,
            }
        }
        Ok(wish)
    }

    /// All of them, as `s6-svc -w` waits.
    pub fn all(goal: Goal, deadline: Option<Moment>) -> Self {
        Self { goal, quorum: Quorum::All, deadline }
    }

    /// Whether there is nothing to wait for.
    pub fn reached_already<T: AsRef<Path>>(&self, dirs: &[T]) -> bool {
        watch::reached_already(dirs, self.goal, self.quorum)
    }

    /// Waits until `watched` are as wished. `child` is reaped if it ends.
    pub fn wait(self, watched: Vec<Watched>, mut child: Option<Child>) -> Result<Exit, Failure> {
        let refused = |error| Failure::refused(format!("cannot wait: {error}"));
        let mut watched = watched;
        let signals = watch::ending_signals().map_err(refused)?;
        let mut reap = || {
            if let Some(child) = &mut child {
                let _ = child.try_wait();
            }
        };
        reap(); // It may have ended before its end was listened for.
        let outcome = watch::wait(&mut watched, self.quorum, self.deadline, signals, reap);
        let total = watched.len();
        drop(watched);
        match outcome.map_err(refused)? {
            Outcome::Reached => Ok(Exit::DONE),
            Outcome::TimedOut => Err(Failure::new(TIMED_OUT, "timed out")),
            Outcome::Failed(count) => Err(Failure::new(
                Exit(count.min(FAILED_MAX) as u8),
                format!("{count} of {total} services failed for good"),
            )),
            Outcome::SupervisorEnded => {
                Err(Failure::new(NOT_SUPERVISED, "a supervisor ended before its service got there"))
            }
            Outcome::Signal(signal) => {
                watch::die_of(signal);
                Err(Failure::refused(format!("stopped by signal {signal}")))
            }
        }
    }
}

/// The value of a timeout option, in milliseconds from now; 0 is none.
pub fn deadline(args: &mut Args) -> Result<Option<Moment>, Failure> {
    let limit: u64 = args.parsed()?;
    Ok((limit > 0).then(|| os::clock::now() + Duration::from_millis(limit)))
}

/// Listens to the service directories, then looks how they are.
pub fn watch<T: AsRef<Path>>(dirs: &[T], goal: Goal) -> Result<Vec<Watched>, Failure> {
    dirs.iter().map(|dir| watch_one(dir.as_ref(), goal)).collect()
}

pub fn watch_one(dir: &Path, goal: Goal) -> Result<Watched, Failure> {
    Watched::new(dir, goal).map_err(|error| match error {
        WatchError::NotSupervised => not_supervised(dir),
        WatchError::Refused(error) => {
            Failure::refused(format!("cannot watch {}: {error}", dir.display()))
        }
    })
}

pub fn not_supervised(dir: &Path) -> Failure {
    Failure::new(NOT_SUPERVISED, format!("{} is not supervised", dir.display()))
}

/// Starts a program beside this one.
pub fn spawn(words: &[OsString]) -> Result<Child, Failure> {
    let (program, arguments) =
        words.split_first().ok_or_else(|| Failure::usage("no program is named"))?;
    Process::new(program).args(arguments).spawn().map_err(|error| {
        Failure::refused(format!("cannot start {}: {error}", program.to_string_lossy()))
    })
}

/// Becomes another program; comes back only where that fails, with the exit
/// codes of shells and of execline: 127 not found, 126 not executable.
pub fn become_program(words: &[OsString]) -> Failure {
    let Some(program) = words.first() else {
        return Failure::usage("no program is named");
    };
    let error = exec::exec(words, None);
    let message = format!("cannot run {}: {error}", program.to_string_lossy());
    Failure::new(Exit(exec::code(&error)), message)
}

/// Reads an execline block: its words begin with a space, and an empty word
/// ends it. Words without the space, as shells write them, count too.
///
/// Gives the words of the block and what comes behind it.
pub fn block(words: Vec<OsString>) -> Result<(Vec<OsString>, Vec<OsString>), Failure> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let end = words.iter().position(|word| word.is_empty()).ok_or_else(|| {
        Failure::usage("the block is not ended")
            .hint("in execline write { ... }; elsewhere end the list with an empty word")
    })?;
    let mut inside = words;
    let behind = inside.split_off(end + 1);
    inside.pop();
    for word in &mut inside {
        if let Some(rest) = word.as_bytes().strip_prefix(b" ") {
            *word = OsString::from_vec(rest.to_vec());
        }
    }
    Ok((inside, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_end_at_the_empty_word() {
        let words = |text: &str| text.split('|').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(block(words(" a| b||prog|x")), Ok((words("a|b"), words("prog|x"))));
        assert_eq!(block(words("a|  b||prog")), Ok((words("a| b"), words("prog"))));
        assert_eq!(block(words("|prog|")), Ok((vec![], words("prog|"))));
        assert_eq!(block(words(" ||prog")), Ok((words(""), words("prog"))));
        assert!(block(words("a|b")).is_err());
        assert!(block(vec![]).is_err());
    }
}
