//! The table of applets; help, links and man pages come from it.

use cli::Command;

pub mod chain;
pub mod peers;

/// Every applet, in the order of the alphabet.
pub const TABLE: &[&Command] = &[
    &peers::s6_applyuidgid::COMMAND,
    &peers::s6_envdir::COMMAND,
    &peers::s6_envuidgid::COMMAND,
    &peers::s6_setlock::COMMAND,
    &peers::s6_setsid::COMMAND,
    &peers::s6_setuidgid::COMMAND,
    &peers::s6_softlimit::COMMAND,
    &peers::s6_tai64n::COMMAND,
    &peers::s6_tai64nlocal::COMMAND,
];
