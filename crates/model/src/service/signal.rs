//! The names and numbers of signals.
//!
//! Numbers are those of Linux `include/uapi/asm-generic/signal.h`, which x86,
//! ARM and RISC-V use, whatever processor this program runs on: a database is
//! compiled on one machine and used on another. MIPS has numbers of its own:
//! [`on_mips`].

/// Names without `SIG`, and numbers.
const NAMES: [(&str, u8); 34] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("UNUSED", 31),
];

/// The last real-time signal.
pub const SIGNAL_MAX: u8 = 64;

/// The number that `text` stands for: a name with or without `SIG`, in any
/// case, or a number from 1 to [`SIGNAL_MAX`].
pub fn parse(text: &str) -> Option<u8> {
    if let Ok(number) = text.parse::<u8>() {
        return (1..=SIGNAL_MAX).contains(&number).then_some(number);
    }
    let bare = match text.get(..3) {
        Some(sig) if sig.eq_ignore_ascii_case("SIG") => &text[3..],
        _ => text,
    };
    NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(bare)).map(|(_, number)| *number)
}

/// The name of a signal, without `SIG`; `None` for real-time signals.
pub fn name(number: u8) -> Option<&'static str> {
    NAMES.iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
}

/// All names, without `SIG`.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name)
}

/// The number that MIPS gives to what has `number` everywhere else.
///
/// Source: Linux `arch/mips/include/uapi/asm/signal.h`. A real-time signal
/// keeps its number; `STKFLT`, which MIPS lacks, becomes `TERM`.
pub fn on_mips(number: u8) -> u8 {
    match number {
        7 => 10,  // BUS
        10 => 16, // USR1
        12 => 17, // USR2
        16 => 15, // STKFLT
        17 => 18, // CHLD
        18 => 25, // CONT
        19 => 23, // STOP
        20 => 24, // TSTP
        21 => 26, // TTIN
        22 => 27, // TTOU
        23 => 21, // URG
        24 => 30, // XCPU
        25 => 31, // XFSZ
        26 => 28, // VTALRM
        27 => 29, // PROF
        28 => 20, // WINCH
        29 => 22, // IO
        30 => 19, // PWR
        31 => 12, // SYS
        same => same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_a_name_or_a_number() {
        for (text, expected) in [
            ("TERM", Some(15)),
            ("SIGTERM", Some(15)),
            ("sigusr1", Some(10)),
            ("9", Some(9)),
            ("64", Some(64)),
            ("0", None),
            ("65", None),
            ("SIG", None),
            ("", None),
            ("SIGWHAT", None),
            ("€", None),
        ] {
            assert_eq!(parse(text), expected, "reading {text:?}");
        }
        assert_eq!((name(15), name(10), name(40)), (Some("TERM"), Some("USR1"), None));
    }

    #[test]
    fn no_two_signals_share_a_number_on_mips() {
        let mut numbers: alloc::vec::Vec<u8> = (1..=31).filter(|n| *n != 16).map(on_mips).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 30);
    }
}
