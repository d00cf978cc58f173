//! Starting the programs of a slot: `run`, `finish`, the scripts of a oneshot,
//! and init's own.

use std::ffi::{CStr, CString, c_char};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::AtomicU32;

use engine::machine::Program;
use model::service::database::{Longrun, Script};
use model::service::request::Slot;
use model::service::status::Exit;

use crate::service::held::{Held, Home};
use crate::service::tree::Tree;
use crate::sys::spawn::Plan;

/// This program itself, whatever its file is called by now (`proc(5)`).
pub const SELF: &CStr = c"/proc/self/exe";

/// Where programs are looked for when nothing says so: those of the device.
const PATH: &str = "/usr/bin:/usr/sbin:/bin:/sbin";

/// Has `ps` and `top` call this process so (`PR_SET_NAME(2const)`): one that was started as
/// [`SELF`] would be called `exe`.
pub fn set_name(name: &CStr) {
    // It is the same process, whatever it is called.
    let _ = rustix::thread::set_name(name);
}

/// One command, ready to be executed.
struct Command {
    /// Candidates, for a name without a slash one in each folder of `PATH`.
    programs: Vec<CString>,
    words: Vec<CString>,
    /// An addition to the environment.
    variable: Option<CString>,
}

impl Tree {
    /// Starts a program of a slot and gives its process id.
    ///
    /// # Errors
    /// There is no process; the reason is the system's.
    pub(super) fn spawn(&mut self, slot: Slot, program: Program) -> io::Result<u32> {
        let command = self.command(slot, program)?;
        self.pipe(slot)?;
        let mut notify = None;
        if let (Program::Run, Some(number)) =
            (program, self.settings_of(slot).and_then(|l| l.notification_fd))
        {
            let (reader, writer) = rustix::pipe::pipe()?;
            rustix::io::ioctl_fionbio(&reader, true)?;
            // Before there is a process: init may fall as soon as there is.
            self.watch_notify(slot, reader)?;
            notify = Some((writer, number as i32));
        }
        let given = notify.as_ref().map(|(writer, number)| (writer.as_fd(), *number));
        let started = self.execute(slot, program, &command, given);
        if started.is_err() {
            self.drop_notify(slot);
        }
        started
    }

    fn execute(
        &self,
        slot: Slot,
        program: Program,
        command: &Command,
        notify: Option<(BorrowedFd<'_>, i32)>,
    ) -> io::Result<u32> {
        let held = self.held(slot).ok_or(io::ErrorKind::NotFound)?;
        let folder = match held.home {
            Home::Live { .. } if held.oneshot => ".".to_owned(),
            _ => held.folder(),
        };
        let folder = CString::new(folder)?;
        // A oneshot runs where init does, as the peer's runner would let it.
        let base = if held.oneshot { self.scandir.as_fd() } else { self.base(held) };
        let consumer = held.consumer.and_then(|c| self.held(c)?.input.as_ref());
        let [zero, one, two] = crate::sys::inherit::standard_streams();
        let own = held.pipe.as_ref().map(|pipe| pipe.writer.as_fd());
        let longrun = self.settings(held);
        let longrun = longrun.as_ref();
        let last = program != Program::Run && held.class == engine::service::ending::Class::Reader;
        let mut environment = self.environment.clone();
        if let Some(variable) = &command.variable {
            environment.insert(environment.len().saturating_sub(1), variable.as_ptr());
        }
        let programs: Vec<*const c_char> = command.programs.iter().map(|p| p.as_ptr()).collect();
        let argv = Self::pointers(&command.words);
        let plan = Plan {
            programs: &programs,
            argv: &argv,
            environment: &environment,
            base,
            folder: &folder,
            stdin: match &held.input {
                Some(input) if !last => input.reader.as_fd(),
                _ => zero,
            },
            stdout: consumer.map(|input| input.writer.as_fd()).or(own).unwrap_or(one),
            stderr: own.unwrap_or(two),
            notify,
            descriptors_max: self.descriptors_max,
            new_session: longrun.is_none_or(|longrun| !longrun.same_session),
            new_pid_namespace: program == Program::Run
                && longrun.is_some_and(|longrun| longrun.new_pid_namespace),
        };
        let cell = self.table.pid_cell(held.record);
        self.spawner.spawn(&plan, cell)
    }

    /// Starts a program in the scandir that nobody waits for. It gets none of
    /// init's descriptors but the standard streams.
    pub fn run_beside(&self, path: &CStr) -> io::Result<u32> {
        let [stdin, stdout, stderr] = crate::sys::inherit::standard_streams();
        let plan = Plan {
            programs: &[path.as_ptr()],
            argv: &[path.as_ptr(), std::ptr::null()],
            environment: &self.environment,
            base: self.scandir.as_fd(),
            folder: c".",
            stdin,
            stdout,
            stderr,
            notify: None,
            descriptors_max: self.descriptors_max,
            new_session: false,
            new_pid_namespace: false,
        };
        self.spawner.spawn(&plan, &AtomicU32::new(0))
    }

    fn settings_of(&self, slot: Slot) -> Option<Longrun> {
        self.settings(self.held(slot)?)
    }

    /// What to execute.
    fn command(&self, slot: Slot, program: Program) -> io::Result<Command> {
        let held = self.held(slot).ok_or(io::ErrorKind::NotFound)?;
        let mut variable = None;
        let words = match (program, held.home) {
            (_, Home::Own) => {
                return Ok(own(held.words.to_vec()));
            }
            (_, Home::Manager { live }) => {
                let path = &*self.live(live).ok_or(io::ErrorKind::NotFound)?.path;
                let words: Result<_, _> =
                    ["ward", "manager", path].map(CString::new).into_iter().collect();
                return Ok(own(words?));
            }
            (Program::Run, _) => {
                let mut words = vec![c"./run".to_owned(), CString::new(&*held.name)?];
                if let Some(number) = self.settings(held).and_then(|l| l.lock_fd) {
                    // The lock may be held by a copy that init does not know:
                    // waiting for it must not stop init, so another program waits.
                    let lock = ["s6-setlock", "-d", &number.to_string(), "supervise/run-lock"];
                    let lock: Result<Vec<_>, _> = lock.into_iter().map(CString::new).collect();
                    words.splice(0..0, lock?);
                    return Ok(own(words));
                }
                words
            }
            (Program::Finish { exit, group }, _) => {
                let (code, signal) = match exit {
                    Exit::Code(code) => (u16::from(code), 0),
                    Exit::Signal(signal) => (256, crate::sys::signals::native(signal)),
                };
                vec![
                    c"./finish".to_owned(),
                    CString::new(code.to_string())?,
                    CString::new(signal.to_string())?,
                    CString::new(&*held.name)?,
                    CString::new(group.to_string())?,
                ]
            }
            (Program::Script(script), _) => {
                variable = Some(CString::new(format!("RC_NAME={}", held.name))?);
                self.script(held, script)?
            }
        };
        let programs = match words.first() {
            None => return Err(io::ErrorKind::NotFound.into()),
            Some(word) if word.to_bytes().contains(&b'/') => vec![word.clone()],
            Some(word) => in_path(word),
        };
        Ok(Command { programs, words, variable })
    }

    fn script(&self, held: &Held, script: Script) -> io::Result<Vec<CString>> {
        let Home::Live { live, index } = held.home else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let live = self.lives.get(usize::from(live)).and_then(Option::as_ref);
        let database = live.ok_or(io::ErrorKind::NotFound)?.database();
        let words = database.service(index).script(script).ok_or(io::ErrorKind::NotFound)?;
        words.map(|word| Ok(CString::new(word)?)).collect()
    }
}

/// This program itself, as the applet that the first word names.
fn own(words: Vec<CString>) -> Command {
    Command { programs: vec![SELF.to_owned()], words, variable: None }
}

/// The files that a command without a slash may be.
fn in_path(word: &CStr) -> Vec<CString> {
    let path = std::env::var("PATH").unwrap_or_else(|_| PATH.to_owned());
    let name = word.to_bytes();
    path.split(':')
        .filter_map(|folder| {
            let folder = if folder.is_empty() { "." } else { folder };
            CString::new([folder.as_bytes(), b"/", name].concat()).ok()
        })
        .collect()
}
