//! One parsed service: longrun, oneshot or bundle.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::database::{Longrun, Oneshot, Reaction};
use super::mistake::{Fault, Mistake};
use super::name::{self, nearest};
use super::source::{Content, Directory, Entry, Role, Tree, known_names, role};
use super::{execline, signal};
use crate::limits::{
    CONTROLLER_FILE_BYTES_MAX, DEATH_TALLY_MAX, DESCRIPTOR_MAX, SETTING_BYTES_MAX,
};

/// What one source directory says of its service. Names are as they were
/// written: nobody has looked yet whether they exist.
#[derive(Clone, Debug)]
pub struct Definition<'a> {
    pub name: &'a str,
    /// The number of its directory in the tree.
    pub directory: u32,
    pub essential: bool,
    pub recommended: bool,
    /// Zero: no limit.
    pub timeout_up: Duration,
    /// Zero: no limit.
    pub timeout_down: Duration,
    /// What it needs or, for a bundle, what it holds.
    pub names: Vec<Reference<'a>>,
    /// What it does when something that it needs runs afresh.
    pub reactions: Vec<(Reference<'a>, Reaction)>,
    /// The user that its outputs belong to.
    pub outputs_owner: Option<&'a str>,
    pub kind: Kind<'a>,
}

#[derive(Clone, Debug)]
pub enum Kind<'a> {
    Longrun(Box<LongrunDefinition<'a>>),
    Oneshot(Oneshot),
    Bundle,
}

/// A longrun before its pipes are known.
#[derive(Clone, Debug, Default)]
pub struct LongrunDefinition<'a> {
    /// All but `consumer` and `has_producers`.
    pub settings: Longrun,
    pub producer_for: Option<Reference<'a>>,
    pub consumer_for: Vec<Reference<'a>>,
    pub pipeline_name: Option<Reference<'a>>,
    /// The text of its file `controller`.
    pub controller: Option<&'a str>,
    /// The files of its folder `controls.d`, each with its text.
    pub controls: Vec<(Reference<'a>, &'a str)>,
}

/// A name, and where it was written.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'a> {
    pub name: &'a [u8],
    /// The entry of the tree that holds it.
    pub entry: &'a Entry,
    /// Counted from 1; 0 for the name of a file.
    pub line: u32,
}

/// The path of a directory, or of a file in it, as messages name it.
pub fn place(tree: &Tree, directory: &Directory, path: &[u8]) -> String {
    let mut place: String = tree.root(directory).trim_end_matches('/').into();
    for part in [tree.name(directory), path] {
        if !part.is_empty() {
            place.push('/');
            place.push_str(&String::from_utf8_lossy(part));
        }
    }
    place
}

/// Parses the directory with this number. What is wrong goes to `mistakes`;
/// `None` where too little is right to speak of a service.
pub fn parse<'a>(
    tree: &'a Tree,
    number: u32,
    mistakes: &mut Vec<Mistake>,
) -> Option<Definition<'a>> {
    let directory = &tree.directories()[number as usize];
    let mut parser = Parser { tree, directory, mistakes };
    if let Some(reason) = tree.problem(directory) {
        parser.fault(b"", 0, Fault::Unreadable { reason: lossy(reason) });
        return None;
    }
    let name = match name::check(tree.name(directory)) {
        Ok(name) => name,
        Err(error) => {
            parser.fault(b"", 0, Fault::BadName(error));
            return None;
        }
    };
    let kind = parser.kind()?;
    let mut definition = Definition {
        name,
        directory: number,
        essential: false,
        recommended: false,
        timeout_up: Duration::ZERO,
        timeout_down: Duration::ZERO,
        names: Vec::new(),
        reactions: Vec::new(),
        outputs_owner: None,
        kind,
    };
    for entry in tree.entries(directory) {
        parser.entry(entry, &mut definition);
    }
    parser.finish(&mut definition);
    Some(definition)
}

struct Parser<'a, 'm> {
    tree: &'a Tree,
    directory: &'a Directory,
    mistakes: &'m mut Vec<Mistake>,
}

impl<'a> Parser<'a, '_> {
    fn fault(&mut self, path: &[u8], line: u32, fault: Fault) {
        self.mistakes.push(Mistake { file: place(self.tree, self.directory, path), line, fault });
    }

    fn find(&self, path: &[u8]) -> Option<&'a Entry> {
        let entries = self.tree.entries(self.directory);
        let at = entries.binary_search_by(|entry| self.tree.path(entry).cmp(path)).ok()?;
        Some(&entries[at])
    }

    fn has(&self, path: &[u8]) -> bool {
        self.find(path).is_some()
    }

    fn kind(&mut self) -> Option<Kind<'a>> {
        let Some(entry) = self.find(b"type") else {
            self.fault(b"", 0, Fault::Missing { file: "type" });
            return None;
        };
        let text = self.text(entry)?;
        Some(match text.strip_suffix(b"\n").unwrap_or(text) {
            b"longrun" => Kind::Longrun(Box::default()),
            b"oneshot" => Kind::Oneshot(Oneshot::default()),
            b"bundle" => Kind::Bundle,
            _ => {
                self.fault(b"type", 1, Fault::UnknownType { found: lossy(text) });
                return None;
            }
        })
    }

    /// Understands one file or folder. What does not belong to the kind of the
    /// service is ignored, as it always was, but not in silence.
    fn entry(&mut self, entry: &'a Entry, definition: &mut Definition<'a>) {
        let path = self.tree.path(entry);
        match (path, &mut definition.kind) {
            (b"type", _) => {}
            (b"flag-essential", _) => definition.essential = true,
            (b"flag-recommended", _) => definition.recommended = true,
            (b"contents.d", Kind::Bundle) => self.folder(entry),
            (b"dependencies.d" | b"on-restart.d", Kind::Longrun(_) | Kind::Oneshot(_)) => {
                self.folder(entry);
            }
            (b"contents", Kind::Bundle) => {
                self.old_list(entry, "contents.d", &mut definition.names);
            }
            (b"dependencies", Kind::Longrun(_) | Kind::Oneshot(_)) => {
                self.old_list(entry, "dependencies.d", &mut definition.names);
            }
            (b"timeout-up", Kind::Longrun(_) | Kind::Oneshot(_)) => {
                self.millis(entry, &mut definition.timeout_up);
            }
            (b"timeout-down", Kind::Longrun(_) | Kind::Oneshot(_)) => {
                self.millis(entry, &mut definition.timeout_down);
            }
            (b"outputs-owner", Kind::Longrun(_) | Kind::Oneshot(_)) => {
                definition.outputs_owner = self.user(entry);
            }
            (b"up", Kind::Oneshot(oneshot)) => self.script(entry, &mut oneshot.up),
            (b"down", Kind::Oneshot(oneshot)) => self.script(entry, &mut oneshot.down),
            (b"reload", Kind::Oneshot(oneshot)) => {
                self.script(entry, oneshot.reload.insert(Vec::new()));
            }
            (b"down", Kind::Longrun(_)) => self.fault(path, 0, Fault::DownOfLongrun),
            (_, kind) => match (listed(path), kind) {
                (Some((b"contents.d", name)), Kind::Bundle)
                | (Some((b"dependencies.d", name)), Kind::Longrun(_) | Kind::Oneshot(_)) => {
                    definition.names.push(Reference { name, entry, line: 0 });
                }
                (Some((b"on-restart.d", name)), Kind::Longrun(_) | Kind::Oneshot(_)) => {
                    if let Some(reaction) = self.reaction(entry) {
                        definition.reactions.push((Reference { name, entry, line: 0 }, reaction));
                    }
                }
                (_, Kind::Longrun(longrun)) => self.longrun_entry(entry, path, longrun),
                (Some(_), _) => {}
                (None, Kind::Oneshot(_)) => self.meaningless(path, "oneshot"),
                (None, Kind::Bundle) => self.meaningless(path, "bundle"),
            },
        }
    }

    fn longrun_entry(
        &mut self,
        entry: &'a Entry,
        path: &'a [u8],
        longrun: &mut LongrunDefinition<'a>,
    ) {
        let settings = &mut longrun.settings;
        match path {
            b"run" => drop(self.text(entry)),
            b"finish" => settings.has_finish = self.text(entry).is_some(),
            b"notification-fd" => settings.notification_fd = self.descriptor(entry),
            b"lock-fd" => settings.lock_fd = self.descriptor(entry),
            b"timeout-kill" => self.millis(entry, &mut settings.timeout_kill),
            b"timeout-finish" => self.millis(entry, &mut settings.timeout_finish),
            b"restart-wait" => self.millis(entry, &mut settings.restart_wait),
            b"max-death-tally" => {
                if let Some(count) = self.number(entry) {
                    if count > DEATH_TALLY_MAX {
                        self.fault(path, 1, Fault::TallyCut { max: DEATH_TALLY_MAX });
                    }
                    settings.death_tally_max = count.min(DEATH_TALLY_MAX);
                }
            }
            b"down-signal" => self.signal(entry, &mut settings.down_signal),
            b"reload-signal" => self.signal(entry, &mut settings.reload_signal),
            b"flag-newpidns" => settings.new_pid_namespace = true,
            b"flag-timeout-killpg" => settings.kill_group = true,
            b"nosetsid" => settings.same_session = true,
            b"producer-for" => longrun.producer_for = self.one_name(entry),
            b"pipeline-name" => longrun.pipeline_name = self.one_name(entry),
            b"consumer-for" => self.list(entry, &mut longrun.consumer_for),
            b"controller" => longrun.controller = self.settings(entry),
            b"controls.d" => self.folder(entry),
            b"data" | b"env" | b"instance" | b"instances" | b"template" => {
                settings.has_extras = true;
                self.folder(entry);
            }
            _ => match listed(path) {
                Some((b"controls.d", name)) => {
                    if let Some(text) = self.settings(entry) {
                        longrun.controls.push((Reference { name, entry, line: 0 }, text));
                    }
                }
                // A file to be copied.
                Some((folder, _)) => {
                    if let (Role::Copied, Content::Unreadable(reason)) =
                        (role(folder), entry.content)
                    {
                        let reason = lossy(self.tree.text(reason));
                        self.fault(path, 0, Fault::Unreadable { reason });
                    }
                }
                None => self.meaningless(path, "longrun"),
            },
        }
    }

    /// What must be there, and what must agree.
    fn finish(&mut self, definition: &mut Definition<'a>) {
        match &definition.kind {
            Kind::Bundle => {
                if !self.has(b"contents.d") && !self.has(b"contents") {
                    self.fault(b"", 0, Fault::Missing { file: "contents.d" });
                }
            }
            Kind::Oneshot(_) => {
                if !self.has(b"up") {
                    self.fault(b"", 0, Fault::Missing { file: "up" });
                }
            }
            Kind::Longrun(longrun) => {
                if !self.has(b"run") {
                    self.fault(b"", 0, Fault::Missing { file: "run" });
                }
                let settings = &longrun.settings;
                if let Some(descriptor) = settings.notification_fd {
                    if settings.lock_fd == Some(descriptor) {
                        self.fault(b"lock-fd", 1, Fault::SameDescriptor { descriptor });
                    } else if descriptor < 3 {
                        self.fault(b"notification-fd", 1, Fault::LowDescriptor { descriptor });
                    }
                }
                if longrun.pipeline_name.is_some()
                    && (longrun.producer_for.is_some() || longrun.consumer_for.is_empty())
                {
                    self.fault(b"pipeline-name", 0, Fault::NoPipelineEnd);
                }
                if self.has(b"controls.d") && !self.has(b"controller") {
                    self.fault(b"", 0, Fault::Missing { file: "controller" });
                }
            }
        }
    }

    fn meaningless(&mut self, path: &[u8], kind: &'static str) {
        match role(path) {
            Role::Unknown => {
                let found = core::str::from_utf8(path).unwrap_or_default();
                if let Some(nearest) = nearest(found, known_names()) {
                    self.fault(path, 0, Fault::Misspelt { nearest });
                }
            }
            _ => self.fault(path, 0, Fault::Meaningless { kind }),
        }
    }

    /// The bytes of a file, or a mistake.
    fn text(&mut self, entry: &Entry) -> Option<&'a [u8]> {
        let fault = match entry.content {
            Content::File(text) => return Some(self.tree.text(text)),
            Content::Unreadable(reason) => {
                Fault::Unreadable { reason: lossy(self.tree.text(reason)) }
            }
            Content::Folder | Content::Link(_) | Content::Present => {
                Fault::WrongKind { expected: "file" }
            }
        };
        self.fault(self.tree.path(entry), 0, fault);
        None
    }

    /// The text of a file with settings, or a mistake.
    fn settings(&mut self, entry: &Entry) -> Option<&'a str> {
        let text = self.text(entry)?;
        let fault = match core::str::from_utf8(text) {
            Ok(text) if text.len() <= CONTROLLER_FILE_BYTES_MAX => return Some(text),
            Ok(_) => Fault::FileTooLarge { max: CONTROLLER_FILE_BYTES_MAX },
            Err(_) => Fault::NotText,
        };
        self.fault(self.tree.path(entry), 0, fault);
        None
    }

    /// The name of a user, or a number; whether there is one is seen on the device.
    fn user(&mut self, entry: &Entry) -> Option<&'a str> {
        let text = core::str::from_utf8(self.text(entry)?).unwrap_or_default();
        let name = text.strip_suffix('\n').unwrap_or(text);
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | '/');
        if name.is_empty() || name.len() > SETTING_BYTES_MAX || name.contains(odd) {
            let fault = Fault::NotAUser { found: lossy(text.as_bytes()) };
            self.fault(self.tree.path(entry), 1, fault);
            return None;
        }
        Some(name)
    }

    fn reaction(&mut self, entry: &Entry) -> Option<Reaction> {
        let word = core::str::from_utf8(self.text(entry)?).unwrap_or_default().trim_ascii();
        let known = Reaction::parse(word);
        if known.is_none() {
            let fault = Fault::UnknownReaction { found: lossy(word.as_bytes()) };
            self.fault(self.tree.path(entry), 1, fault);
        }
        known
    }

    fn folder(&mut self, entry: &Entry) {
        let fault = match entry.content {
            Content::Folder => return,
            Content::Unreadable(reason) => {
                Fault::Unreadable { reason: lossy(self.tree.text(reason)) }
            }
            Content::File(_) | Content::Link(_) | Content::Present => {
                Fault::WrongKind { expected: "folder" }
            }
        };
        self.fault(self.tree.path(entry), 0, fault);
    }

    /// A number alone, with line ends behind it at most.
    fn number(&mut self, entry: &Entry) -> Option<u32> {
        let text = self.text(entry)?;
        let end = text.iter().rposition(|byte| *byte != b'\n').map_or(0, |at| at + 1);
        let digits = &text[..end];
        let number = (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
            .then(|| core::str::from_utf8(digits).ok()?.parse().ok())
            .flatten();
        if number.is_none() {
            self.fault(self.tree.path(entry), 1, Fault::NotANumber { found: lossy(digits) });
        }
        number
    }

    fn millis(&mut self, entry: &Entry, setting: &mut Duration) {
        if let Some(millis) = self.number(entry) {
            *setting = Duration::from_millis(millis.into());
        }
    }

    fn descriptor(&mut self, entry: &Entry) -> Option<u32> {
        let found = self.number(entry)?;
        if found > DESCRIPTOR_MAX {
            let fault = Fault::TooLarge { found, max: DESCRIPTOR_MAX };
            self.fault(self.tree.path(entry), 1, fault);
            return None;
        }
        Some(found)
    }

    fn signal(&mut self, entry: &Entry, setting: &mut u8) {
        let Some(text) = self.text(entry) else { return };
        let found = core::str::from_utf8(text).unwrap_or_default().trim_ascii();
        match signal::parse(found) {
            Some(number) => *setting = number,
            None => {
                let bare = found.strip_prefix("SIG").unwrap_or(found);
                let nearest = nearest(&bare.to_ascii_uppercase(), signal::names());
                let fault = Fault::UnknownSignal { found: lossy(text.trim_ascii()), nearest };
                self.fault(self.tree.path(entry), 1, fault);
            }
        }
    }

    fn script(&mut self, entry: &Entry, words: &mut Vec<Box<[u8]>>) {
        let Some(text) = self.text(entry) else { return };
        match execline::parse(text) {
            Ok(found) => *words = found,
            Err(error) => {
                self.fault(self.tree.path(entry), error.line, Fault::Script(error.fault));
            }
        }
        if text.starts_with(b"#!") {
            self.fault(self.tree.path(entry), 1, Fault::Interpreter);
        }
    }

    /// A list in one file, which counts unless there is a folder instead.
    fn old_list(
        &mut self,
        entry: &'a Entry,
        instead: &'static str,
        names: &mut Vec<Reference<'a>>,
    ) {
        if self.has(instead.as_bytes()) {
            self.fault(self.tree.path(entry), 0, Fault::OldSpelling { instead });
        } else {
            self.list(entry, names);
        }
    }

    /// One name a line; blanks before it, empty lines and comments are skipped.
    fn list(&mut self, entry: &'a Entry, names: &mut Vec<Reference<'a>>) {
        let Some(text) = self.text(entry) else { return };
        for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
            let blanks = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            let name = &line[blanks..];
            if !name.is_empty() && name[0] != b'#' {
                names.push(Reference { name, entry, line: number });
            }
        }
    }

    fn one_name(&mut self, entry: &'a Entry) -> Option<Reference<'a>> {
        let mut names = Vec::new();
        let before = self.mistakes.len();
        self.list(entry, &mut names);
        if names.len() != 1 && self.mistakes.len() == before {
            self.fault(self.tree.path(entry), 0, Fault::OneName { found: names.len() });
        }
        names.first().copied()
    }
}

/// `folder/rest` taken apart.
fn listed(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = path.iter().position(|byte| *byte == b'/')?;
    Some((&path[..at], &path[at + 1..]))
}

/// Text for a message, not more of it than anybody wants to read.
pub(super) fn lossy(bytes: &[u8]) -> String {
    let mut text: String = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    if bytes.len() > 200 {
        text.push_str("...");
    }
    text
}

/// The text of a setting's file in a service directory: what the compiler
/// understood, written plainly. `None` for what is no such file.
pub fn setting_text(name: &[u8], settings: &Longrun) -> Option<String> {
    let number = match name {
        b"notification-fd" => settings.notification_fd?,
        b"lock-fd" => settings.lock_fd?,
        b"timeout-kill" => millis(settings.timeout_kill),
        b"timeout-finish" => millis(settings.timeout_finish),
        b"restart-wait" => millis(settings.restart_wait),
        b"max-death-tally" => settings.death_tally_max,
        b"down-signal" => return Some(signal_text(settings.down_signal)),
        b"reload-signal" => return Some(signal_text(settings.reload_signal)),
        b"flag-newpidns" | b"flag-timeout-killpg" | b"nosetsid" => return Some(String::new()),
        _ => return None,
    };
    Some(alloc::format!("{number}\n"))
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

/// By name where it has one: numbers differ between processors.
fn signal_text(number: u8) -> String {
    match signal::name(number) {
        Some(name) => alloc::format!("SIG{name}\n"),
        None => alloc::format!("{number}\n"),
    }
}
