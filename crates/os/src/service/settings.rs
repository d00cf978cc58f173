//! The settings of a plain service directory, as `s6-supervise` reads them.
//!
//! Only numbers and the presence of files: this is all the text that init
//! reads, and it is bounded. Sensible defaults stand in for what cannot be
//! read, as with the peer (`servicedir.html`).

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use model::limits::{DEATH_TALLY_MAX, SETTING_BYTES_MAX};
use model::service::database::Longrun;
use rustix::fs::{self, AtFlags, Mode, OFlags};

/// Reads the settings of the directory `folder` below `at`.
pub fn read(at: BorrowedFd<'_>, folder: &str) -> Longrun {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let default = Longrun::default();
    let Ok(directory) = fs::openat(at, folder, flags, Mode::empty()) else { return default };
    let number = |name: &str| number(&contents(&directory, name)?);
    let millis = |name: &str| Some(Duration::from_millis(u64::from(number(name)?)));
    let there = |name: &str| fs::accessat(&directory, name, fs::Access::EXISTS, AtFlags::empty());
    let signal = |name: &str| signal(&contents(&directory, name)?);
    Longrun {
        notification_fd: number("notification-fd"),
        lock_fd: number("lock-fd"),
        timeout_kill: millis("timeout-kill").unwrap_or(default.timeout_kill),
        timeout_finish: millis("timeout-finish").unwrap_or(default.timeout_finish),
        restart_wait: millis("restart-wait").unwrap_or(default.restart_wait),
        down_signal: signal("down-signal").unwrap_or(default.down_signal),
        reload_signal: signal("reload-signal").unwrap_or(default.reload_signal),
        death_tally_max: number("max-death-tally")
            .map_or(default.death_tally_max, |n| n.min(DEATH_TALLY_MAX)),
        has_finish: there("finish").is_ok(),
        new_pid_namespace: there("flag-newpidns").is_ok(),
        kill_group: there("flag-timeout-killpg").is_ok(),
        same_session: there("nosetsid").is_ok(),
        starts_down: there("down").is_ok(),
        consumer: None,
        has_producers: false,
        has_extras: true,
    }
}

/// The bytes of a small file; `None` where it is missing, too large, or no file.
fn contents(directory: &std::os::fd::OwnedFd, name: &str) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = fs::openat(directory, name, flags, Mode::empty()).ok()?;
    let mut bytes = vec![0; SETTING_BYTES_MAX + 1];
    let length = read_once(&file, &mut bytes).ok()?;
    bytes.truncate(length);
    (length <= SETTING_BYTES_MAX).then_some(bytes)
}

fn read_once(file: &std::os::fd::OwnedFd, bytes: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(file, bytes)?)
}

/// Digits, then at most white space.
fn number(bytes: &[u8]) -> Option<u32> {
    std::str::from_utf8(bytes).ok()?.trim_end().parse().ok()
}

/// A signal by number or name, with or without `SIG`, in portable numbers.
fn signal(bytes: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(bytes).ok()?.trim_end();
    model::service::signal::parse(text)
}
