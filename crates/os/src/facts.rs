//! How this system is, for `ward doctor`: what cannot be found out is left out.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::memory;
use crate::processes;

/// Bytes of memory, and those that programs can still have.
pub fn memory() -> Option<(u64, u64)> {
    Some((memory::total(), memory::available()?))
}

/// Whether a process runs another program than the file at `path`, as after that was replaced.
pub fn runs_another(pid: u32, path: &Path) -> Option<bool> {
    let [exe, ..] = processes::places(pid);
    let (runs, is) = (fs::metadata(exe).ok()?, fs::metadata(path).ok()?);
    Some((runs.dev(), runs.ino()) != (is.dev(), is.ino()))
}

/// Whether root, or another with its number, needs no password: of these lines of `/etc/passwd`
/// and `/etc/shadow`.
pub fn is_open(passwd: &str, shadow: &str) -> bool {
    passwd.lines().any(|line| {
        let mut fields = line.split(':');
        let (name, word, user) = (fields.next(), fields.next(), fields.next());
        let hidden = || {
            let mut lines = shadow.lines().filter_map(|line| {
                let (user, rest) = line.split_once(':')?;
                (Some(user) == name).then(|| rest.split(':').next())
            });
            lines.next().flatten()
        };
        let word = if word == Some("x") { hidden() } else { word };
        user == Some("0") && word == Some("")
    })
}

/// The same of this system.
pub fn root_is_open() -> bool {
    let read = |path| fs::read(path).unwrap_or_default();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    is_open(&text(read("/etc/passwd")), &text(read("/etc/shadow")))
}

/// Whether there is a watchdog of the hardware that nobody has open. Only root can tell.
pub fn watchdog_is_idle() -> bool {
    let there = |name: &str| Path::new(name).exists();
    (there("/dev/watchdog") || there("/dev/watchdog0"))
        && crate::socket::own_user() == 0
        && !crate::watchdog::is_held()
}

/// What the kernel calls its release.
pub fn kernel() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_needs_no_password_is_found_and_odd_files_are_read() {
        for (passwd, shadow, open) in [
            ("root::0:0::/:/bin/sh\n", "", true),
            ("root:x:0:0::/:/bin/sh\n", "root::1:2\n", true),
            ("root:x:0:0::/:/bin/sh\n", "root:!:1:2\n", false),
            ("root:x:0:0::/:/bin/sh\n", "", false),
            ("root:!:0:0::/:/bin/sh\n", "", false),
            ("nobody::99:99::/:/bin/false\nroot:$6$a:0:0\n", "", false),
            ("other::0:0\n", "", true),
            (":::::\n\n::\nroot", "::", false),
        ] {
            assert_eq!(is_open(passwd, shadow), open, "{passwd:?} {shadow:?}");
        }
    }

    #[test]
    fn this_system_is_looked_at_without_harm() {
        let own = std::env::current_exe().unwrap();
        assert_eq!(runs_another(std::process::id(), &own), Some(false));
        assert_eq!(runs_another(std::process::id(), Path::new("/proc/version")), Some(true));
        assert_eq!(runs_another(u32::MAX, &own), None);
        assert!(memory().is_some_and(|(all, left)| left <= all));
        assert!(kernel().is_some());
    }
}
