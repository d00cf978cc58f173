//! Signals by name, with the numbers of the processor this runs on.

/// Names without `SIG`; their numbers differ between processors (`signal(7)`).
const NAMES: &[(&str, i32)] = &[
    ("ABRT", libc::SIGABRT),
    ("ALRM", libc::SIGALRM),
    ("BUS", libc::SIGBUS),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("FPE", libc::SIGFPE),
    ("HUP", libc::SIGHUP),
    ("ILL", libc::SIGILL),
    ("INT", libc::SIGINT),
    ("KILL", libc::SIGKILL),
    ("POLL", libc::SIGIO),
    ("PIPE", libc::SIGPIPE),
    ("PROF", libc::SIGPROF),
    ("PWR", libc::SIGPWR),
    ("QUIT", libc::SIGQUIT),
    ("SEGV", libc::SIGSEGV),
    #[cfg(not(any(target_arch = "mips", target_arch = "mips64")))]
    ("STKFLT", libc::SIGSTKFLT),
    ("STOP", libc::SIGSTOP),
    ("SYS", libc::SIGSYS),
    ("TERM", libc::SIGTERM),
    ("TRAP", libc::SIGTRAP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("USR1", libc::SIGUSR1),
    ("USR2", libc::SIGUSR2),
    ("VTALRM", libc::SIGVTALRM),
    ("WINCH", libc::SIGWINCH),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    // Other names of the above: found, never printed.
    ("CLD", libc::SIGCHLD),
    ("IO", libc::SIGIO),
    ("IOT", libc::SIGABRT),
];

/// The name of a signal, without `SIG`; `None` for one that has no name, such
/// as the real-time signals.
pub fn name(number: u8) -> Option<&'static str> {
    NAMES.iter().find(|(_, known)| *known == i32::from(number)).map(|(name, _)| *name)
}

/// The number of a signal, written `SIGTERM`, `term` or `15`.
pub fn number(text: &str) -> Option<u8> {
    let short = match text.get(..3) {
        Some(start) if start.eq_ignore_ascii_case("SIG") => &text[3..],
        _ => text,
    };
    if let Some((_, number)) = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(short)) {
        return u8::try_from(*number).ok();
    }
    short.parse().ok().filter(|number| (1..=64).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_in_every_spelling() {
        for (text, expected) in [
            ("SIGTERM", Some(15)),
            ("sigterm", Some(15)),
            ("term", Some(15)),
            ("15", Some(15)),
            ("SIG15", Some(15)),
            ("SIGSIGTERM", None),
            ("0", None),
            ("65", None),
            ("", None),
            ("é", None), // three bytes do not end at a letter
            ("SIG", None),
        ] {
            assert_eq!(number(text), expected, "{text:?}");
        }
        assert_eq!(name(9), Some("KILL"));
        assert_eq!(name(6), Some("ABRT"));
        assert_eq!(name(40), None);
        for signal in 0..=255 {
            if let Some(found) = name(signal) {
                assert_eq!(number(found), Some(signal));
            }
        }
    }
}
