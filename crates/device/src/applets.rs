//! The table of applets; help, links and man pages come from it.

use cli::Command;

pub mod boot;
pub mod chain;
pub mod change;
pub mod controllers;
pub mod flashcp;
pub mod generation;
pub mod health_check;
pub mod hotplug;
pub mod image;
pub mod init;
pub mod json;
pub mod levitate;
pub mod logger;
pub mod machine;
pub mod manager;
pub mod peers;
pub mod people;
pub mod plan;
pub mod probe;
pub mod round_robin;
pub mod ship;
pub mod status_page;
pub mod store;
pub mod trial;
pub mod watchdog;

/// Every applet, in the order of the alphabet.
pub const TABLE: &[&Command] = &[
    &boot::COMMAND,
    &people::chart::COMMAND,
    &people::doctor::COMMAND,
    &people::explain::COMMAND,
    &flashcp::COMMAND,
    &generation::COMMAND,
    &people::graph::COMMAND,
    &machine::HALT,
    &health_check::COMMAND,
    &hotplug::COMMAND,
    &image::COMMAND,
    &init::INIT,
    &levitate::LEVITATE,
    &people::log::COMMAND,
    &logger::COMMAND,
    &levitate::MAINTENANCE,
    &manager::COMMAND,
    &store::COLLECT_GARBAGE,
    &people::output::COMMAND,
    &boot::PHASES,
    &machine::POWEROFF,
    &probe::COMMAND,
    &machine::REBOOT,
    &machine::REEXEC,
    &people::start::RELOAD,
    &people::start::RESTART,
    &round_robin::COMMAND,
    &peers::s6_applyuidgid::COMMAND,
    &peers::s6_fifodir::CLEANFIFODIR,
    &peers::s6_envdir::COMMAND,
    &peers::s6_envuidgid::COMMAND,
    &peers::s6_ftrig::LISTEN,
    &peers::s6_ftrig::LISTEN1,
    &peers::s6_ftrig::NOTIFY,
    &peers::s6_ftrig::WAIT,
    &peers::s6_log::COMMAND,
    &peers::s6_fifodir::MKFIFODIR,
    &peers::s6_notifyoncheck::COMMAND,
    &peers::s6_permafailon::COMMAND,
    &peers::s6_rc::COMMAND,
    &peers::s6_rc_bundle::COMMAND,
    &peers::s6_rc_compile::COMMAND,
    &peers::s6_rc_db::COMMAND,
    &peers::s6_rc_dryrun::COMMAND,
    &peers::s6_rc_update::FORMAT_UPGRADE,
    &peers::s6_rc_init::COMMAND,
    &peers::s6_rc_up_tree::COMMAND,
    &peers::s6_rc_update::UPDATE,
    &peers::s6_setlock::COMMAND,
    &peers::s6_setsid::COMMAND,
    &peers::s6_setuidgid::COMMAND,
    &peers::s6_softlimit::COMMAND,
    &init::SUPERVISE,
    &peers::s6_svc::SVC,
    &peers::s6_svdt::SVDT,
    &peers::s6_svdt::SVDT_CLEAR,
    &peers::s6_svlink::SVLINK,
    &peers::s6_svwait::SVLISTEN,
    &peers::s6_svwait::SVLISTEN1,
    &peers::s6_svok::COMMAND,
    &peers::s6_svperms::COMMAND,
    &init::SVSCAN,
    &peers::s6_svc::SVSCANCTL,
    &peers::s6_svstat::COMMAND,
    &peers::s6_svlink::SVUNLINK,
    &peers::s6_svwait::SVWAIT,
    &peers::s6_tai64n::COMMAND,
    &peers::s6_tai64nlocal::COMMAND,
    &ship::COMMAND,
    &people::start::START,
    &people::status::COMMAND,
    &status_page::COMMAND,
    &people::start::STOP,
    &store::COMMAND,
    &trial::COMMAND,
    &watchdog::COMMAND,
    &people::why::COMMAND,
];
