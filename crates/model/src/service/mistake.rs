//! What is wrong in a source directory, where, and what may help.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::execline::ScriptFault;
use super::name::NameError;
use crate::limits::{CYCLE_NAMES_MAX, DATABASE_BYTES_MAX, SERVICES_MAX};

/// One mistake, or one warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The path of the file or folder.
    pub file: String,
    /// Counted from 1; 0 where no line is meant.
    pub line: u32,
    pub fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The folder's name is no name for a service.
    BadName(NameError),
    /// The name was taken before, by this folder.
    DefinedTwice {
        earlier: String,
    },
    /// A file that must be there is not.
    Missing {
        file: &'static str,
    },
    Unreadable {
        reason: String,
    },
    /// Should be a file or a folder, and is the other.
    WrongKind {
        expected: &'static str,
    },
    UnknownType {
        found: String,
    },
    NotANumber {
        found: String,
    },
    TooLarge {
        found: u32,
        max: u32,
    },
    UnknownSignal {
        found: String,
        nearest: Option<&'static str>,
    },
    Script(ScriptFault),
    /// A name in a list that cannot be one.
    BadReference {
        found: String,
        error: NameError,
    },
    UnknownName {
        found: String,
        nearest: Option<String>,
    },
    /// A file that holds one name, and has none or more.
    OneName {
        found: usize,
    },
    /// `notification-fd` and `lock-fd` are the same.
    SameDescriptor {
        descriptor: u32,
    },
    /// Only longruns are joined by pipes.
    NotALongrun {
        name: String,
    },
    /// A producer says whom it feeds, and that one does not say so.
    NotItsConsumer {
        consumer: String,
        producer: String,
    },
    /// A consumer says who feeds it, and that one does not say so.
    NotItsProducer {
        consumer: String,
        producer: String,
    },
    /// The name of a pipeline is taken.
    PipelineNameTaken {
        name: String,
        earlier: String,
    },
    /// Each needs, or holds, the next, and the last is the first again.
    Cycle {
        names: Vec<String>,
    },
    /// A file of words that is not UTF-8.
    NotText,
    FileTooLarge {
        max: usize,
    },
    /// What is wrong in the settings of a controller.
    Settings {
        what: String,
    },
    /// Only services are controlled.
    IsABundle {
        name: String,
    },
    /// Another controller starts the service already.
    TwoStarters {
        name: String,
        earlier: String,
    },
    /// A controller needs what it controls: each needs the next.
    ControlsNeed {
        names: Vec<String>,
    },
    /// Each needs the next, or is started by it, and the last is the first again.
    ControlCycle {
        names: Vec<String>,
    },
    /// A word of `on-restart.d` that is none.
    UnknownReaction {
        found: String,
    },
    /// No name of a user.
    NotAUser {
        found: String,
    },
    /// `on-restart.d` speaks of what the service does not need.
    NotANeed {
        name: String,
    },
    /// More services and bundles than a database can hold.
    TooMany,
    /// The database would be larger than it may be.
    DatabaseTooLarge,
    /// The source directories hold more than is read.
    SourceTooLarge,

    // Warnings from here on.
    /// A file that nobody knows, and that looks like a misspelling.
    Misspelt {
        nearest: &'static str,
    },
    /// A file that means nothing for this type.
    Meaningless {
        kind: &'static str,
    },
    /// `down` of a longrun: the manager alone decides what is up.
    DownOfLongrun,
    /// Readiness on standard input, output or error.
    LowDescriptor {
        descriptor: u32,
    },
    /// As many deaths as nobody remembers.
    TallyCut {
        max: u32,
    },
    /// A command line that begins like a script of its own.
    Interpreter,
    /// A name for a pipeline that does not end here.
    NoPipelineEnd,
    /// Both spellings are there; the folder counts.
    OldSpelling {
        instead: &'static str,
    },
}

impl Fault {
    /// It does not keep the services from being compiled.
    pub fn is_warning(&self) -> bool {
        matches!(
            self,
            Self::Misspelt { .. }
                | Self::Meaningless { .. }
                | Self::DownOfLongrun
                | Self::LowDescriptor { .. }
                | Self::TallyCut { .. }
                | Self::Interpreter
                | Self::NoPipelineEnd
                | Self::OldSpelling { .. }
        )
    }

    /// What may help, where something is known to.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::UnknownName { nearest: Some(name), .. } => alloc::format!("did you mean {name}?"),
            Self::UnknownSignal { nearest: Some(name), .. } => {
                alloc::format!("did you mean SIG{name}?")
            }
            Self::Misspelt { nearest } => alloc::format!("did you mean {nearest}?"),
            Self::Missing { file: "type" } => {
                "a file `type` says longrun, oneshot or bundle; a folder that is no service does \
                 not belong here, unless its name begins with a dot"
                    .into()
            }
            Self::UnknownType { .. } => "it must be longrun, oneshot or bundle, alone".into(),
            Self::Script(ScriptFault::StrayBrace | ScriptFault::OpenBlock) => {
                "a brace that is meant as a word is written \"{\" or \"}\"".into()
            }
            Self::NotItsConsumer { consumer, producer } => {
                alloc::format!("add {producer} to the file consumer-for of {consumer}")
            }
            Self::NotItsProducer { consumer, producer } => {
                alloc::format!("write {consumer} into the file producer-for of {producer}")
            }
            Self::Interpreter => {
                "it is read as one command line; to run a script, write the interpreter and the \
                 path of the script"
                    .into()
            }
            Self::Cycle { .. } | Self::ControlCycle { .. } => {
                "one of them must do without the next".into()
            }
            Self::Missing { file: "controller" } => {
                "a service with `controls.d` is a controller; its file `controller` begins with \
                 `kind` and what it goes by"
                    .into()
            }
            Self::IsABundle { .. } => "name the services that it holds".into(),
            Self::TwoStarters { name, .. } => {
                alloc::format!("a health check beside another controller only watches {name}")
            }
            Self::UnknownReaction { .. } => "it must be ignore, notify or restart".into(),
            Self::NotANeed { name } => alloc::format!("add {name} to what it needs"),
            _ => return None,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName(error) => write!(f, "this is no name for a service: {error}"),
            Self::DefinedTwice { earlier } => write!(f, "it is defined twice, first in {earlier}"),
            Self::Missing { file } => write!(f, "the file `{file}` is missing"),
            Self::Unreadable { reason } => write!(f, "it cannot be read: {reason}"),
            Self::WrongKind { expected } => write!(f, "it must be a {expected}"),
            Self::UnknownType { found } => write!(f, "there is no type {found:?}"),
            Self::NotANumber { found } => {
                write!(f, "{found:?} is no number from 0 to {}", u32::MAX)
            }
            Self::TooLarge { found, max } => write!(f, "{found} is more than {max}"),
            Self::UnknownSignal { found, .. } => write!(f, "there is no signal {found:?}"),
            Self::Script(fault) => fault.fmt(f),
            Self::BadReference { found, error } => {
                write!(f, "{found:?} is no name of a service: {error}")
            }
            Self::UnknownName { found, .. } => write!(f, "there is no service {found}"),
            Self::OneName { found: 0 } => f.write_str("it must hold a name, and holds none"),
            Self::OneName { found } => write!(f, "it must hold one name, and holds {found}"),
            Self::SameDescriptor { descriptor } => {
                write!(f, "notification-fd and lock-fd are both {descriptor}")
            }
            Self::NotALongrun { name } => {
                write!(f, "{name} is no longrun, and only longruns are joined by pipes")
            }
            Self::NotItsConsumer { consumer, producer } => {
                write!(f, "{producer} writes to {consumer}, which does not read from it")
            }
            Self::NotItsProducer { consumer, producer } => {
                write!(f, "{consumer} reads from {producer}, which does not write to it")
            }
            Self::PipelineNameTaken { name, earlier } => {
                write!(f, "the name {name} is taken by {earlier}")
            }
            Self::Cycle { names } => {
                f.write_str("a cycle: ")?;
                write_cycle(f, names)
            }
            Self::NotText => f.write_str("it is no text (UTF-8)"),
            Self::FileTooLarge { max } => write!(f, "it has more than {max} bytes"),
            Self::Settings { what } => f.write_str(what),
            Self::IsABundle { name } => {
                write!(f, "{name} is a bundle, and only services are controlled")
            }
            Self::TwoStarters { name, earlier } => {
                write!(f, "{name} is started by the controller {earlier} already")
            }
            Self::ControlsNeed { names } if names.len() == 1 => f.write_str("it controls itself"),
            Self::ControlsNeed { names } => {
                f.write_str("it controls what it needs itself: ")?;
                write_names(f, names)
            }
            Self::ControlCycle { names } => {
                f.write_str(
                    "nothing here ever starts, as each needs the next or is started by it: ",
                )?;
                write_cycle(f, names)
            }
            Self::UnknownReaction { found } => {
                write!(f, "{found:?} is nothing that can be done when a need runs afresh")
            }
            Self::NotAUser { found } => write!(f, "{found:?} is no name of a user"),
            Self::NotANeed { name } => write!(f, "it does not need {name}"),
            Self::TooMany => write!(f, "there are more than {SERVICES_MAX} services and bundles"),
            Self::DatabaseTooLarge => {
                write!(f, "the database would be larger than {DATABASE_BYTES_MAX} bytes")
            }
            Self::SourceTooLarge => f.write_str("the source directories hold too much"),
            Self::Misspelt { .. } => f.write_str("it means nothing and is left out"),
            Self::Meaningless { kind } => write!(f, "it means nothing for a {kind}"),
            Self::DownOfLongrun => f.write_str(
                "it means nothing for a longrun, which is down until something wants it up",
            ),
            Self::LowDescriptor { descriptor } => {
                write!(f, "descriptor {descriptor} is standard input, output or error")
            }
            Self::TallyCut { max } => write!(f, "no more than {max} deaths are remembered"),
            Self::Interpreter => f.write_str("its first line is a comment here"),
            Self::NoPipelineEnd => f.write_str(
                "it names no pipeline: only a service that reads from others and writes to none \
                 ends one",
            ),
            Self::OldSpelling { instead } => {
                write!(f, "it is left out, for there is also the folder `{instead}`")
            }
        }
    }
}

/// `a -> b -> a`.
fn write_cycle(f: &mut fmt::Formatter<'_>, names: &[String]) -> fmt::Result {
    let Some(first) = names.first() else { return Ok(()) };
    write_names(f, names)?;
    write!(f, " -> {first}")
}

/// `a -> b`; what is long loses its middle.
fn write_names(f: &mut fmt::Formatter<'_>, names: &[String]) -> fmt::Result {
    let keep = CYCLE_NAMES_MAX / 2;
    for (at, name) in names.iter().enumerate() {
        let arrow = if at == 0 { "" } else { " -> " };
        if names.len() <= CYCLE_NAMES_MAX || at < keep || at >= names.len() - keep {
            write!(f, "{arrow}{name}")?;
        } else if at == keep {
            write!(f, "{arrow}({} more)", names.len() - 2 * keep)?;
        }
    }
    Ok(())
}

impl fmt::Display for Mistake {
    /// `file:line: what is wrong`, without the hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line != 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.fault.is_warning() {
            f.write_str(": warning")?;
        }
        write!(f, ": {}", self.fault)
    }
}

/// All mistakes as a person reads them, each with its hint below it; without
/// warnings where nobody wants them.
pub fn report(mistakes: &[Mistake], warnings: bool) -> String {
    use fmt::Write;
    let mut text = String::new();
    for mistake in mistakes.iter().filter(|m| warnings || !m.fault.is_warning()) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{mistake}");
        if let Some(hint) = mistake.fault.hint() {
            let _ = writeln!(text, "  hint: {hint}");
        }
    }
    text
}
