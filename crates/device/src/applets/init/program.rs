//! The loop of init: events in, orders carried out, everyone told.

use std::ffi::{CString, OsStr, OsString};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use cli::{Exit, Failure};
use engine::machine::Event;
use engine::service::ending::{Class, Ending};
use engine::service::init::{Init, Unit};
use model::limits::MESSAGE_BYTES_MAX;
use model::service::request::{End, FromInit, Slot, ToInit};
use model::time::Moment;
use os::event_loop::Readiness;
use os::service::held::{Home, Pipe, inherited_pipe};
use os::service::live_dir;
use os::service::table::Table;
use os::service::tree::{Tree, token};
use os::sys::{children, crash, inherit, signals, spawn::Spawner};
use os::trouble::Trouble;

use super::ending::end_of_mode;
use super::server::{OWN_SLOT, Part, Server, messages, part_of, same_protocol};
use super::{Config, Kind};

const SIGNALS: u64 = token::FREE;
const SCAN_CONTROL: u64 = token::FREE + 1;
const SERVER: u64 = token::FREE + 2;

/// Signals that are read as messages; SIGABRT is a fault.
const HEARD: [i32; 11] = [
    libc_signal::CHLD,
    libc_signal::ALRM,
    libc_signal::HUP,
    libc_signal::INT,
    libc_signal::TERM,
    libc_signal::QUIT,
    libc_signal::USR1,
    libc_signal::USR2,
    libc_signal::PWR,
    libc_signal::WINCH,
    libc_signal::PIPE,
];

use os::sys::signals::number as libc_signal;

/// So many faults in so short a time are too many to go on at once.
const FAULTS_SPAN: Duration = Duration::from_secs(10);
const FAULTS_WAIT: Duration = Duration::from_secs(1);

pub struct Program {
    pub config: Config,
    pub init: Init,
    pub tree: Tree,
    pub server: Option<Server>,
    pub ending: Option<Ending>,
    /// This is pid 1.
    pub first: bool,
    signals: OwnedFd,
    control: Option<OwnedFd>,
    /// Held while this scandir is served.
    lock: Option<OwnedFd>,
    /// What init itself says goes there, like what a service says.
    voice: Option<Pipe>,
    next_scan: Option<Moment>,
    /// More children have ended than were reaped.
    unreaped: bool,
    /// Leave without waiting for anything.
    abort: bool,
    logger: Slot,
}

/// Runs a tree until it is told to end.
pub fn run(config: Config, name: &str, words: Vec<OsString>) -> Result<Exit, Failure> {
    let mut program = Program::new(config, name, &words)?;
    let end = program.serve();
    Ok(program.finish(end))
}

fn refused(what: &str) -> impl Fn(std::io::Error) -> Failure + '_ {
    move |error| Failure::refused(format!("cannot {what}: {error}"))
}

impl Program {
    fn new(config: Config, name: &str, words: &[OsString]) -> Result<Self, Failure> {
        let first = std::process::id() == 1;
        inherit::open_standard_streams().map_err(refused("open /dev/null"))?;
        // What was handed over must not lie where children get theirs.
        let notify = match config.notify.filter(|_| config.resume.is_none()) {
            Some(fd) => {
                let fd = inherit::descriptor(fd).map_err(refused("use the descriptor of -d"))?;
                Some(inherit::move_up(fd, LOWEST).map_err(refused("keep a descriptor"))?)
            }
            None => None,
        };
        let spawner = Spawner::new().map_err(refused("reserve descriptors"))?;
        let scandir = enter_scandir(&config)?;
        let (table, found) = match config.resume {
            Some(fd) => {
                let file = inherit::kept(fd)
                    .ok_or_else(|| Failure::usage("--resume is for init's own use"))?;
                let (table, found) =
                    Table::resume(file).map_err(refused("go on with what was remembered"))?;
                (table, Some(found))
            }
            None => (Table::new().map_err(refused("make memory that outlives exec"))?, None),
        };
        let signals = signals::read_from(&HEARD).map_err(refused("read signals"))?;
        if !first && config.kind != Kind::Supervise {
            children::adopt_orphans().map_err(refused("become the parent of orphans"))?;
        }
        prepare_crash(&table, name, words)?;
        let environment = crash::environment_words(DEFAULT_PATH);
        let tree = Tree::new(table, scandir, spawner, environment)
            .map_err(refused("make an event loop"))?;
        tree.events.add(&signals, SIGNALS, Readiness::IN).map_err(refused("wait for signals"))?;
        let mut program = Self {
            config,
            init: Init::default(),
            tree,
            server: None,
            ending: None,
            first,
            signals,
            control: None,
            lock: None,
            voice: None,
            next_scan: None,
            // One may have ended before its signal could be heard.
            unreaped: true,
            abort: false,
            logger: Slot::MAX,
        };
        match found {
            Some(found) => program.go_on(found)?,
            None => program.begin()?,
        }
        if let Some(notify) = notify {
            let _ = os::files::write(&notify, b"\n");
        }
        Ok(program)
    }

    /// The first start.
    fn begin(&mut self) -> Result<(), Failure> {
        if self.config.kind == Kind::Supervise {
            let name = self.config.scandir.to_string_lossy().into_owned();
            let slot = self.tree.add_directory(&mut self.init, &name, Class::Service);
            let slot = slot.map_err(|trouble| {
                let busy = trouble.error.raw_os_error().is_some_and(|e| e == 11 || e == 13);
                let exit = if busy { Exit::USAGE } else { Exit::REFUSED };
                Failure::new(exit, trouble)
            })?;
            self.init.begin(os::clock::now(), slot, &mut self.tree);
            return Ok(());
        }
        self.open_control()?;
        if self.config.kind == Kind::Init {
            self.start_logging()?;
        }
        self.rescan();
        if self.config.kind == Kind::Init {
            self.boot();
        }
        Ok(())
    }

    /// A later start: everything runs already.
    fn go_on(&mut self, found: Vec<os::service::table::Found>) -> Result<(), Failure> {
        let now = os::clock::now();
        self.tree.logged = self.config.kind == Kind::Init;
        self.voice = inherited_pipe(self.tree.table.own_pipe());
        let troubles = self.tree.resume(&mut self.init, found);
        if self.config.kind != Kind::Supervise {
            self.open_control()?;
        }
        self.complain(troubles);
        let words = self.logger_words();
        let logger = self.tree.all().find(|held| held.class == Class::Logger).map(|h| h.slot);
        if let Some(held) = logger.and_then(|slot| self.tree.held_mut(slot)) {
            held.words = words.into();
            self.logger = held.slot;
        }
        if let Some(end) = end_of_mode(self.tree.table.mode()) {
            self.ending = Some(Ending::new(end, now));
        }
        // Whoever fell eight times in ten seconds must not spin.
        let faults = self.tree.table.count_fault(now.nanos());
        if faults[0] != 0 && now.since(Moment::from_nanos(faults[0])) < FAULTS_SPAN {
            std::thread::sleep(FAULTS_WAIT);
        }
        self.say("started anew; every service goes on");
        Ok(())
    }

    /// Takes the lock of the scandir and opens what orders come in by.
    fn open_control(&mut self) -> Result<(), Failure> {
        let folder = Path::new(".s6-svscan");
        match std::fs::create_dir(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(refused("make .s6-svscan in the scandir")(error));
            }
            _ => {}
        }
        let (lock, control) = os::service::scandir::open_control(folder)
            .map_err(refused("open .s6-svscan/control"))?;
        self.lock = Some(lock.ok_or_else(|| {
            Failure::usage("another s6-svscan or ward init serves this scandir already")
        })?);
        self.tree
            .events
            .add(&control, SCAN_CONTROL, Readiness::IN)
            .map_err(refused("wait for orders"))?;
        self.control = Some(control);
        let server = Server::new(Path::new(live_dir::INIT), &self.tree.events, SERVER)
            .map_err(refused("listen at .s6-svscan/init"))?;
        self.server = Some(server);
        Ok(())
    }

    fn logger_words(&self) -> Vec<CString> {
        let socket = std::env::current_dir().unwrap_or_default().join(live_dir::INIT);
        let words = ["ward".as_ref(), "logger".as_ref(), "-d".as_ref()]
            .into_iter()
            .chain([self.config.boot.logs.as_os_str(), socket.as_os_str()]);
        words.filter_map(|word: &OsStr| CString::new(word.as_encoded_bytes()).ok()).collect()
    }

    fn start_logging(&mut self) -> Result<(), Failure> {
        self.tree.logged = true;
        let voice = Pipe::new().map_err(refused("make a pipe"))?;
        let _ = os::files::set_nonblocking(&voice.writer);
        self.tree.table.set_own_pipe(voice.numbers());
        self.voice = Some(voice);
        let words = self.logger_words();
        let logger =
            self.tree.add_longrun(&mut self.init, "logger", Home::Own, Class::Logger, words);
        self.logger = logger.map_err(Failure::refused)?;
        Ok(())
    }

    /// Runs `ward boot` once: it makes the live directory and brings the
    /// first bundle up.
    fn boot(&mut self) {
        let boot = &self.config.boot;
        let scandir = std::env::current_dir().unwrap_or_default();
        let words: Vec<CString> = [
            "ward".as_ref(),
            "boot".as_ref(),
            "-c".as_ref(),
            boot.database.as_os_str(),
            "-l".as_ref(),
            boot.live.as_os_str(),
            "-b".as_ref(),
            boot.bundle.as_ref(),
            scandir.as_os_str(),
        ]
        .into_iter()
        .filter_map(|word: &OsStr| CString::new(word.as_encoded_bytes()).ok())
        .collect();
        if let Err(trouble) = self.tree.run_own(&mut self.init, "boot", words) {
            self.complain(vec![trouble]);
        }
    }

    /// Says something in the log; on standard error where there is none.
    pub fn say(&self, text: &str) {
        let line = format!("init: {text}\n");
        let said = match &self.voice {
            // Cut off rather than waited for: nobody may be reading.
            Some(voice) => os::files::write(&voice.writer, &line.as_bytes()[6..]).is_ok(),
            None => false,
        };
        if !said {
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }

    fn complain(&self, troubles: Vec<Trouble>) {
        for trouble in troubles {
            self.say(&trouble.to_string());
        }
    }

    fn rescan(&mut self) {
        let troubles = self.tree.scan(&mut self.init, self.config.services_max);
        self.complain(troubles);
        if self.config.rescan != 0 {
            self.next_scan = Some(os::clock::now() + Duration::from_millis(self.config.rescan));
        }
    }

    /// Works until everything is down, and says how to end.
    fn serve(&mut self) -> End {
        loop {
            if std::mem::take(&mut self.unreaped) {
                self.unreaped = self.tree.reap(&mut self.init);
            }
            self.publish();
            if self.abort {
                return End::Exit;
            }
            if self.ending.is_some() {
                if let Some(end) = self.go_down() {
                    return end;
                }
                self.publish();
            }
            if self.config.kind == Kind::Supervise && self.init.slots().next().is_none() {
                return End::Exit;
            }
            let deadline =
                [self.init.deadline(), self.ending.as_ref().map(Ending::deadline), self.next_scan];
            let deadline = deadline.into_iter().flatten().min();
            let events = self.tree.events.wait(deadline).unwrap_or_else(|_| {
                // The kernel cannot say what happens (memory is short): look
                // again soon, at everything that can be looked at.
                std::thread::sleep(Duration::from_millis(100));
                self.unreaped = true;
                Vec::new()
            });
            for (token, readiness) in events {
                self.handle(token, readiness);
            }
            let now = os::clock::now();
            self.init.expire(now, &mut self.tree);
            if self.next_scan.is_some_and(|at| at <= now) {
                self.rescan();
            }
        }
    }

    fn handle(&mut self, event: u64, readiness: Readiness) {
        let slot = event as u32;
        match event & !0xffff_ffff {
            token::CONTROL => self.tree.control(&mut self.init, slot),
            token::NOTIFY => self.tree.notified(&mut self.init, slot),
            _ => match event {
                SIGNALS => self.hear_signals(),
                SCAN_CONTROL => self.obey_scan_control(),
                _ => self.hear_client(event, readiness),
            },
        }
    }

    fn hear_signals(&mut self) {
        while let Ok(Some(signal)) = signals::next(self.signals.as_fd()) {
            if signal == libc_signal::CHLD {
                self.unreaped = true;
            } else {
                self.obey_signal(signal);
            }
        }
    }

    fn obey_signal(&mut self, signal: i32) {
        if self.config.kind == Kind::Supervise {
            return self.supervise_signal(signal);
        }
        if self.config.kind == Kind::Svscan && self.divert(signal) {
            return;
        }
        let machine = self.first && self.config.kind == Kind::Init;
        let end = |end: End| if machine { end } else { End::Exit };
        match signal {
            libc_signal::TERM | libc_signal::INT => self.shut_down(end(End::Reboot)),
            libc_signal::QUIT => self.quit(),
            libc_signal::USR1 if self.config.kind == Kind::Init => self.shut_down(end(End::Halt)),
            libc_signal::USR2 | libc_signal::PWR if self.config.kind == Kind::Init => {
                self.shut_down(end(End::PowerOff));
            }
            libc_signal::HUP => {
                self.rescan();
                self.tree.prune(&mut self.init, false);
            }
            libc_signal::ALRM => self.rescan(),
            _ => {}
        }
    }

    /// Runs `.s6-svscan/SIGNAME` where there is one.
    fn divert(&mut self, signal: i32) -> bool {
        let Some(name) = model::service::signal::name(signals::portable(signal)) else {
            return false;
        };
        let path = Path::new(".s6-svscan").join(format!("SIG{name}"));
        if signal == libc_signal::ALRM || !os::service::scandir::executable(&path) {
            return false;
        }
        // The C library's way is good enough here: it happens by hand.
        std::process::Command::new(Path::new(".").join(path)).spawn().is_ok()
    }

    fn quit(&mut self) {
        for slot in
            self.tree.all().filter(|h| h.class == Class::Reader).map(|h| h.slot).collect::<Vec<_>>()
        {
            self.tree.dismiss(&mut self.init, slot);
        }
        self.shut_down(End::Exit);
    }

    /// `s6-supervise` has orders of its own for signals.
    fn supervise_signal(&mut self, signal: i32) {
        let Some((slot, _)) = self.init.slots().next() else { return };
        let letters: &[u8] = match signal {
            libc_signal::TERM => b"xd",
            libc_signal::HUP => b"x",
            libc_signal::QUIT => {
                self.abort = true;
                return;
            }
            libc_signal::INT => {
                let pid = self.init.unit(slot).map_or(0, |unit| unit.state().pid);
                children::kill(pid, 2, true);
                self.abort = true;
                return;
            }
            _ => return,
        };
        for &letter in letters {
            self.init.event(os::clock::now(), slot, Event::Control(letter), &mut self.tree);
        }
    }

    /// Letters of `s6-svscanctl`.
    fn obey_scan_control(&mut self) {
        let mut letters = [0; 64];
        let Some(control) = &self.control else { return };
        let Ok(count) = os::files::read(control, &mut letters) else { return };
        for &letter in &letters[..count] {
            match letter {
                b'z' => self.unreaped = true,
                b'a' => self.rescan(),
                b'h' => {
                    self.rescan();
                    self.tree.prune(&mut self.init, false);
                }
                b'n' => self.tree.prune(&mut self.init, false),
                b'N' => self.tree.prune(&mut self.init, true),
                b't' | b'i' => self.shut_down(End::Exit),
                b'q' => self.quit(),
                b'b' => self.abort = true,
                _ => {}
            }
        }
    }

    fn hear_client(&mut self, event: u64, readiness: Readiness) {
        let Some(server) = &mut self.server else { return };
        let Some(number) = server.client_of(event) else {
            return server.accept(&self.tree.events);
        };
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        while readiness.intersects(Readiness::IN | Readiness::HUP | Readiness::ERR) {
            let Some(server) = &mut self.server else { return };
            let Some(length) = server.receive(number, &mut buffer) else { return };
            if !messages(&buffer[..length], |message| self.obey(number, message))
                && let Some(server) = &mut self.server
            {
                server.drop(number);
            }
        }
    }

    fn part(&mut self, number: usize) -> Option<Part> {
        self.server.as_mut()?.client(number).map(|client| client.part)
    }

    fn obey(&mut self, number: usize, message: ToInit<'_>) {
        let Some(part) = self.part(number) else { return };
        match (part, message) {
            (Part::Unknown, ToInit::Hello { protocol, role }) => {
                let part = part_of(role, |live| self.tree.find_live(live));
                match part.filter(|_| same_protocol(protocol)) {
                    Some(part) => self.greet(number, part),
                    None => self.reply(number, "this init does not serve that"),
                }
            }
            (Part::Manager { live }, ToInit::Want { slot, up, ticket })
                if self.owns(live, slot) =>
            {
                if let Some(Unit::Longrun(supervisor)) = self.init.unit_mut(slot) {
                    supervisor.set_ticket(ticket);
                }
                let letter = if up { b'U' } else { b'D' };
                self.init.event(os::clock::now(), slot, Event::Control(letter), &mut self.tree);
            }
            (Part::Manager { live }, ToInit::Run { slot, script, ticket })
                if self.owns(live, slot) =>
            {
                let event = Event::Run { script, ticket };
                self.init.event(os::clock::now(), slot, event, &mut self.tree);
            }
            (Part::Manager { live }, ToInit::Signal { slot, signal }) if self.owns(live, slot) => {
                self.init.event(os::clock::now(), slot, Event::Signal(signal), &mut self.tree);
            }
            (Part::Manager { .. }, ToInit::AllDown) => {
                if let Some(client) = self.server.as_mut().and_then(|s| s.client(number)) {
                    client.busy = false;
                }
            }
            (Part::Manager { .. } | Part::Client, ToInit::Take { live, previous }) => {
                self.take(number, live, previous);
            }
            (Part::Manager { .. } | Part::Client, ToInit::Release { live }) => {
                let outcome = self.tree.release(&mut self.init, live);
                self.answer(number, outcome.map_err(|trouble| trouble.to_string()));
            }
            (Part::Client, ToInit::Shutdown { end }) => {
                let end = if self.first { end } else { End::Exit };
                self.shut_down(end);
                self.reply(number, "");
            }
            (Part::Client, ToInit::Reexec { program }) => self.reexec(number, program),
            (Part::Client, ToInit::Fault) => crash::fault(),
            _ => self.reply(number, "that cannot be asked for here"),
        }
    }

    fn owns(&self, live: u8, slot: Slot) -> bool {
        self.tree
            .held(slot)
            .is_some_and(|held| matches!(held.home, Home::Live { live: of, .. } if of == live))
    }

    fn reply(&mut self, number: usize, error: &str) {
        if let Some(client) = self.server.as_mut().and_then(|server| server.client(number)) {
            client.tell(&FromInit::Reply { error });
        }
    }

    fn answer(&mut self, number: usize, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.reply(number, ""),
            Err(error) => self.reply(number, &error),
        }
    }

    /// Tells a new client all that its part is about.
    fn greet(&mut self, number: usize, part: Part) {
        if let Some(client) = self.server.as_mut().and_then(|server| server.client(number)) {
            client.part = part;
        }
        match part {
            Part::Manager { live } => {
                self.tell_all(number, live);
                if self.ending.is_some()
                    && let Some(client) = self.server.as_mut().and_then(|s| s.client(number))
                {
                    client.ask_to_stop();
                }
            }
            Part::Logger => {
                self.tree.new_pipes.clear();
                self.tree.ended_pipes.clear();
                let Some(client) = self.server.as_mut().and_then(|s| s.client(number)) else {
                    return;
                };
                if self.voice.is_some() {
                    client.tell(&FromInit::Pipe { slot: OWN_SLOT, name: "init" });
                }
                for held in self.tree.all().filter(|held| held.pipe.is_some()) {
                    client.tell(&FromInit::Pipe { slot: held.slot, name: &held.name });
                }
                client.welcome();
            }
            Part::Client | Part::Unknown => {}
        }
    }

    /// Tells a manager every slot of its live directory.
    fn tell_all(&mut self, number: usize, live: u8) {
        let Some(served) = self.tree.live(live) else { return };
        let Some(client) = self.server.as_mut().and_then(|server| server.client(number)) else {
            return;
        };
        for &slot in &served.slots {
            if let Some(held) = self.tree.held(slot) {
                client.tell(&FromInit::Slot { slot, longrun: !held.oneshot, name: &held.name });
            }
        }
        for &slot in &served.slots {
            if let Some(unit) = self.init.unit(slot) {
                client.tell_state(slot, *unit.state());
            }
        }
        client.welcome();
    }

    fn take(&mut self, number: usize, live: &str, previous: Option<&str>) {
        let before = previous.and_then(|previous| self.tree.find_live(previous));
        let taken = self.tree.take(&mut self.init, live, previous);
        let new = match taken {
            Ok(new) => new,
            Err(trouble) => return self.reply(number, &trouble.to_string()),
        };
        self.reply(number, "");
        let mut heirs = Vec::new();
        for (number, client) in self.server.iter_mut().flat_map(|server| server.clients_numbered())
        {
            if before.is_some_and(|old| client.part == Part::Manager { live: old }) {
                client.part = Part::Manager { live: new };
                heirs.push(number);
            }
        }
        for heir in heirs {
            self.tell_all(heir, new);
        }
    }

    /// Starts this program, or a newer one, in place of itself.
    fn reexec(&mut self, number: usize, program: Option<&str>) {
        let path = program.unwrap_or("/proc/self/exe");
        self.reply(number, "");
        self.publish();
        let error = match crash::use_program(Path::new(path)) {
            Ok(()) => crash::execute(),
            Err(error) => error,
        };
        self.say(&format!("cannot start {path} in place of this program: {error}"));
    }

    /// Tells everyone what has changed.
    fn publish(&mut self) {
        let changed = self.init.changed();
        for &slot in &changed {
            let (Some(unit), Some(held)) = (self.init.unit(slot), self.tree.held(slot)) else {
                continue;
            };
            if let Home::Live { live, .. } = held.home
                && let Some(server) = &mut self.server
            {
                for client in server.clients() {
                    if client.part == (Part::Manager { live }) {
                        client.tell_state(slot, *unit.state());
                    }
                }
            }
            self.tree.publish(slot, unit);
        }
        self.init.reuse(changed);
        self.say_farewell();
        self.tell_pipes();
        let Some(server) = &mut self.server else { return };
        let (tree, voice) = (&self.tree, &self.voice);
        server.flush(&tree.events, &|slot| {
            let pipe = match slot {
                OWN_SLOT => voice.as_ref(),
                _ => tree.held(slot).and_then(|held| held.pipe.as_ref()),
            };
            pipe.map(|pipe| pipe.reader.as_fd())
        });
    }

    /// Forgets the slots whose supervision has ended.
    fn say_farewell(&mut self) {
        for slot in std::mem::take(&mut self.tree.left) {
            if self.init.unit(slot).is_none_or(|unit| unit.at_rest()) {
                self.init.remove(slot);
                self.tree.forget(slot);
            } else {
                self.tree.left.push(slot);
            }
        }
    }

    /// Hands the pipes that are new, or have another name, to the logger, and
    /// tells it which are no more.
    fn tell_pipes(&mut self) {
        let ended = std::mem::take(&mut self.tree.ended_pipes);
        let new = std::mem::take(&mut self.tree.new_pipes);
        let Some(server) = &mut self.server else { return };
        for client in server.clients().filter(|client| client.part == Part::Logger) {
            for &slot in &ended {
                client.tell(&FromInit::PipeEnded { slot });
            }
            for &slot in &new {
                if let Some(held) = self.tree.held(slot) {
                    client.tell(&FromInit::Pipe { slot, name: &held.name });
                }
            }
        }
    }

    /// Ends as was asked.
    fn finish(&mut self, end: End) -> Exit {
        self.server = None;
        if self.config.kind == Kind::Supervise {
            return Exit::DONE;
        }
        let _ = std::fs::remove_file(live_dir::INIT);
        if self.first && end != End::Exit {
            let error = os::sys::reboot::end_machine(end);
            self.say(&format!("cannot {}: {error}", super::ending::end_name(end)));
            return Exit::DONE;
        }
        let script = Path::new(".s6-svscan/finish");
        if self.config.kind == Kind::Svscan && os::service::scandir::executable(script) {
            signals::unblock_all();
            let error = os::sys::exec::exec(&[OsString::from("./.s6-svscan/finish")], None);
            self.say(&format!("cannot execute .s6-svscan/finish: {error}"));
        }
        Exit::DONE
    }
}

/// The lowest number for descriptors that are kept.
const LOWEST: i32 = 10;

/// Where programs are looked for when the kernel did not say.
const DEFAULT_PATH: &str = "/usr/bin:/usr/sbin:/bin:/sbin";

fn enter_scandir(config: &Config) -> Result<OwnedFd, Failure> {
    let path = match config.kind {
        // The program before this one stood there already.
        _ if config.resume.is_some() => Path::new("."),
        Kind::Supervise => Path::new("."),
        _ => config.scandir.as_path(),
    };
    if config.kind == Kind::Init && config.resume.is_none() {
        std::fs::create_dir_all(path).map_err(|error| {
            Failure::refused(format!("cannot make {}: {error}", path.display()))
        })?;
    }
    std::env::set_current_dir(path)
        .map_err(|error| Failure::refused(format!("cannot enter {}: {error}", path.display())))?;
    os::files::directory(".").map_err(refused("open the scandir"))
}

/// From here on a fault starts this program anew, with the table.
fn prepare_crash(table: &Table, name: &str, words: &[OsString]) -> Result<(), Failure> {
    let number = table.file().as_raw_fd().to_string();
    let old = words.iter().zip(words.iter().skip(1));
    let resumed = old.clone().any(|(word, _)| word == "--resume");
    let words: Vec<OsString> = match resumed {
        true => words.iter().skip(2).cloned().collect(),
        false => words.to_vec(),
    };
    let again = ["ward", name, "--resume", &number].map(OsString::from);
    let again: Vec<OsString> = again.into_iter().chain(words).collect();
    // The scandir may have been named from where the first program stood.
    let argv = crash::leak_words(again.iter().map(OsString::as_os_str));
    crash::install(Path::new("/proc/self/exe"), argv, crash::environment_words(DEFAULT_PATH))
        .map_err(refused("prepare for faults"))
}
