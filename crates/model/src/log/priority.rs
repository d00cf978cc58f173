//! The priority that a line may begin with: how bad it is what it says.
//!
//! Source: `sd-daemon(3)` and the kernel's `printk`: `<N>` before the text, with the numbers of `syslog(3)`.

/// A severity of `syslog(3)`, and perhaps a facility, as one number: 8 times the facility, and the
/// severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority(u8);

/// The largest there is: facility 23, severity 7.
const PRIORITY_MAX: u8 = 191;

pub const ERROR: u8 = 3;
pub const WARNING: u8 = 4;
pub const INFO: u8 = 6;

/// Facilities.
pub const KERNEL: u8 = 0;
pub const DAEMON: u8 = 3;

impl Priority {
    /// The priority that a text begins with, and what follows it.
    pub fn split(text: &[u8]) -> (Option<Self>, &[u8]) {
        let found = || {
            let rest = text.strip_prefix(b"<")?;
            let end = rest.iter().take(4).position(|&byte| byte == b'>')?;
            let (digits, rest) = (&rest[..end], &rest[end + 1..]);
            let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            if !plain || digits.len() > 1 && digits[0] == b'0' {
                return None;
            }
            let number = digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
            let number = u8::try_from(number).ok().filter(|number| *number <= PRIORITY_MAX)?;
            Some((Self(number), rest))
        };
        found().map_or((None, text), |(priority, rest)| (Some(priority), rest))
    }

    /// 0 (all is lost) to 7 (for who looks for mistakes).
    pub fn severity(self) -> u8 {
        self.0 % 8
    }

    /// What part of a system speaks; `None` where it did not say: facility 0 is what is
    /// understood by nobody but the kernel.
    pub fn facility(self) -> Option<u8> {
        Some(self.0 / 8).filter(|facility| *facility != KERNEL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_is_a_number_in_brackets_and_nothing_else() {
        for (text, number, rest) in [
            ("<3>bad", Some(3), "bad"),
            ("<30>", Some(30), ""),
            ("<191>x", Some(191), "x"),
            ("<0><1>x", Some(0), "<1>x"),
            ("<192>x", None, "<192>x"),
            ("<03>x", None, "<03>x"), // a word of a page, perhaps
            ("<>x", None, "<>x"),
            ("<+3>x", None, "<+3>x"),
            ("<1234>", None, "<1234>"),
            ("<3", None, "<3"),
            (" <3>x", None, " <3>x"),
            ("", None, ""),
        ] {
            let expected = (number.map(Priority), rest.as_bytes());
            assert_eq!(Priority::split(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!((Priority(30).severity(), Priority(30).facility()), (6, Some(3)));
        assert_eq!((Priority(4).severity(), Priority(4).facility()), (4, None));
    }
}
