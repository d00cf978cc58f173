//! The table of applets; help, links and man pages come from it.

use cli::Command;

pub mod boot;
pub mod chain;
pub mod init;
pub mod machine;
pub mod peers;

/// Every applet, in the order of the alphabet.
pub const TABLE: &[&Command] = &[
    &boot::COMMAND,
    &init::INIT,
    &init::SUPERVISE,
    &init::SVSCAN,
    &machine::HALT,
    &machine::POWEROFF,
    &machine::REBOOT,
    &machine::REEXEC,
    &peers::s6_rc_compile::COMMAND,
    &peers::s6_rc_db::COMMAND,
    &peers::s6_rc_init::COMMAND,
    &peers::s6_setsid::COMMAND,
    &peers::s6_svok::COMMAND,
    &peers::s6_svstat::COMMAND,
];
