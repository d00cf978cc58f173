//! The end of the machine (`reboot(2)`).

use std::io;

use model::service::request::End;

/// Writes everything to the disks, then ends the machine. Returns where the
/// kernel refuses: only pid 1 of the first namespace may.
pub fn end_machine(end: End) -> io::Error {
    let command = match end {
        End::Reboot | End::Hard | End::Maintenance => libc::RB_AUTOBOOT,
        End::PowerOff => libc::RB_POWER_OFF,
        End::Halt => libc::RB_HALT_SYSTEM,
        End::Exit => return io::ErrorKind::InvalidInput.into(),
    };
    rustix::fs::sync();
    // SAFETY: a number; where it succeeds, nothing follows.
    unsafe { libc::reboot(command) };
    io::Error::last_os_error()
}
