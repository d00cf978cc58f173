//! What a command says when it cannot do what was asked, and its exit code.

use std::fmt;

/// The exit code of a command. Those of the field: 0 done, 1 not achieved,
/// 100 wrong usage, 111 the system refused; peers' applets keep the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    pub const DONE: Self = Self(0);
    pub const NOT_ACHIEVED: Self = Self(1);
    pub const USAGE: Self = Self(100);
    pub const REFUSED: Self = Self(111);
}

/// What cannot be done, why, and what may help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub message: String,
    pub hint: Option<String>,
    pub exit: Exit,
}

impl Failure {
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), hint: None, exit }
    }

    /// The arguments are wrong.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::USAGE, message)
    }

    /// The system refused.
    pub fn refused(message: impl fmt::Display) -> Self {
        Self::new(Exit::REFUSED, message)
    }

    /// Everything worked, and yet what was asked for is not so.
    pub fn not_achieved(message: impl fmt::Display) -> Self {
        Self::new(Exit::NOT_ACHIEVED, message)
    }

    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  {hint}"),
            None => Ok(()),
        }
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::usage(error)
    }
}

/// Output that cannot be written ends a command as the system's refusal.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::refused(error)
    }
}
