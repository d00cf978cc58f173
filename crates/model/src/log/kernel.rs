//! What the kernel says: records of `/dev/kmsg` (Linux `Documentation/ABI/testing/dev-kmsg`).

use alloc::vec::Vec;

use crate::label::{append, number};

/// Under this name they stand in the log.
pub const SERVICE: &str = "kernel";

/// Bytes of the longest record: `CONSOLE_EXT_LOG_MAX` of Linux `include/linux/printk.h` before 6.3, and later
/// `PRINTK_MESSAGE_MAX`, a quarter of that.
pub const RECORD_BYTES_MAX: usize = 8192;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Facility times eight, and severity, as in syslog.
    pub priority: u64,
    /// Counts all of a boot.
    pub number: u64,
    /// When it was said, in microseconds since the kernel began.
    pub micros: u64,
    /// One line; the kernel escapes newlines and control characters.
    pub text: &'a [u8],
}

impl<'a> Record<'a> {
    /// `None` for what is no record.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let end = bytes.iter().position(|&byte| byte == b';')?;
        let mut numbers = bytes[..end].split(|&byte| byte == b',').map(number);
        let (priority, number, micros) = (numbers.next()??, numbers.next()??, numbers.next()??);
        // Behind its line may stand others, about devices.
        let text = bytes[end + 1..].split(|&byte| byte == b'\n').next()?;
        Some(Self { priority, number, micros, text })
    }

    /// Appends its line as `dmesg -r` shows it: `<6>[    1.234567] text`.
    pub fn append_text(&self, out: &mut Vec<u8>) {
        out.push(b'<');
        append(self.priority, 1, out);
        out.extend_from_slice(b">[");
        let mut secs = Vec::new();
        append(self.micros / 1_000_000, 1, &mut secs);
        out.extend(core::iter::repeat_n(b' ', 5_usize.saturating_sub(secs.len())));
        out.append(&mut secs);
        out.push(b'.');
        append(self.micros % 1_000_000, 6, out);
        out.extend_from_slice(b"] ");
        out.extend_from_slice(self.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_becomes_the_line_that_people_know() {
        for (bytes, line) in [
            (
                &b"6,339,5140900,-;NET: Registered protocol\n"[..],
                "<6>[    5.140900] NET: Registered protocol",
            ),
            (
                b"30,3,123456000007,-,caller=T1;a;b,c\n SUBSYSTEM=net\n DEVICE=n2",
                "<30>[123456.000007] a;b,c",
            ),
            (b"0,18446744073709551615,0,c;", "<0>[    0.000000] "),
        ] {
            let mut text = Vec::new();
            Record::read(bytes).unwrap().append_text(&mut text);
            assert_eq!(core::str::from_utf8(&text), Ok(line));
        }
        assert_eq!(Record::read(b"6,339,1,-;x").unwrap().number, 339);
        for bytes in
            [&b""[..], b"6,1,2", b";x", b"6,1;x", b"6,x,2,-;x", b"6,18446744073709551616,2,-;x"]
        {
            assert_eq!(Record::read(bytes), None, "{bytes:?}");
        }
    }
}
