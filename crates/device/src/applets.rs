//! The table of applets; help, links and man pages come from it.

use cli::Command;

pub mod peers;

/// Every applet, in the order of the alphabet.
pub const TABLE: &[&Command] = &[
    &peers::s6_fifodir::CLEANFIFODIR,
    &peers::s6_ftrig::LISTEN,
    &peers::s6_ftrig::LISTEN1,
    &peers::s6_ftrig::NOTIFY,
    &peers::s6_ftrig::WAIT,
    &peers::s6_fifodir::MKFIFODIR,
    &peers::s6_notifyoncheck::COMMAND,
    &peers::s6_permafailon::COMMAND,
    &peers::s6_setsid::COMMAND,
    &peers::s6_svc::SVC,
    &peers::s6_svdt::SVDT,
    &peers::s6_svdt::SVDT_CLEAR,
    &peers::s6_svlink::SVLINK,
    &peers::s6_svwait::SVLISTEN,
    &peers::s6_svwait::SVLISTEN1,
    &peers::s6_svok::COMMAND,
    &peers::s6_svperms::COMMAND,
    &peers::s6_svc::SVSCANCTL,
    &peers::s6_svstat::COMMAND,
    &peers::s6_svlink::SVUNLINK,
    &peers::s6_svwait::SVWAIT,
];
