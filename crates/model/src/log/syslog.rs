//! Lines as a syslog server is told them (RFC 5424), and how one ends in a stream (RFC 6587, 3.4.1).

use alloc::vec::Vec;

use crate::label::{Reading, append, append_local};
use crate::log::entry::Entry;
use crate::log::priority::{DAEMON, INFO, KERNEL, Priority};
use crate::zone::Zone;

/// What the kernel's lines have in the place of a service.
const KERNEL_SERVICE: &[u8] = b"kernel";

/// Characters of the names in a header (RFC 5424, 6).
const HOST_BYTES_MAX: usize = 255;
const SERVICE_BYTES_MAX: usize = 48;

/// Digits of a second that are told: no server has to take more.
const SECOND_DIGITS: usize = 6;

/// Appends an entry as one message, which is text without a byte order mark.
pub fn append_message(entry: &Entry<'_>, host: &[u8], out: &mut Vec<u8>) {
    let service = entry.line.service.unwrap_or_default();
    let own = if service == KERNEL_SERVICE { KERNEL } else { DAEMON };
    let facility = entry.priority.and_then(Priority::facility).unwrap_or(own);
    let severity = entry.priority.map_or(INFO, Priority::severity);
    out.push(b'<');
    append((facility * 8 + severity).into(), 1, out);
    out.extend_from_slice(b">1 ");
    append_time(entry, out);
    out.push(b' ');
    append_name(host, HOST_BYTES_MAX, out);
    out.push(b' ');
    append_name(service, SERVICE_BYTES_MAX, out);
    out.extend_from_slice(b" - - - ");
    for chunk in entry.line.text.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Appends an entry as one message of a stream, behind its length.
pub fn append_counted(entry: &Entry<'_>, host: &[u8], out: &mut Vec<u8>) {
    let mut message = Vec::new();
    append_message(entry, host, &mut message);
    append(message.len() as u64, 1, out);
    out.push(b' ');
    out.extend_from_slice(&message);
}

/// `2026-11-25T18:00:00.000000Z`, or `-` where it is not known, or in a year that has no four digits.
fn append_time(entry: &Entry<'_>, out: &mut Vec<u8>) {
    const LENGTH: usize = "2026-11-25T18:00:00.".len();
    let start = out.len();
    let told = entry.date.is_some_and(|date| append_local(date, Reading::Tai, &Zone::UTC, out));
    let text = &mut out[start..];
    if !told || text.len() != LENGTH + 9 {
        out.truncate(start);
        return out.push(b'-');
    }
    text[LENGTH - 10] = b'T';
    // There are no leap seconds in these (RFC 5424, 6.2.3).
    if text[LENGTH - 3] == b'6' {
        text[LENGTH - 3..LENGTH - 1].copy_from_slice(b"59");
    }
    out.truncate(start + LENGTH + SECOND_DIGITS);
    out.push(b'Z');
}

/// A word of the header: printable, without spaces.
fn append_name(name: &[u8], most: usize, out: &mut Vec<u8>) {
    if name.is_empty() {
        return out.push(b'-');
    }
    let printable = |&byte: &u8| if byte.is_ascii_graphic() { byte } else { b'?' };
    out.extend(name.iter().take(most).map(printable));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::line::Line;
    use crate::time::Date;
    use alloc::string::String;

    fn message(line: &[u8], host: &str) -> String {
        let mut out = Vec::new();
        append_message(&Entry::new(Line::read(line, true)), host.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_message_says_who_when_and_how_bad() {
        for (line, expected) in [
            (&b"dns up"[..], "<30>1 T router dns - - - up"),
            (b"kernel <6>link is up", "<6>1 T router kernel - - - link is up"),
            (b"kernel <29>x", "<29>1 T router kernel - - - x"), // written there by somebody
            (b"dns <3>bad", "<27>1 T router dns - - - bad"),
            (b"dns <165>mine", "<165>1 T router dns - - - mine"),
            (b"d\xc3\xbc \xff\xfe[x", "<30>1 T router d?? - - - \u{fffd}\u{fffd}[x"),
            (b"dns ", "<30>1 T router dns - - - "),
            (b" x", "<30>1 T router - - - - x"),
        ] {
            let label = Date::from_unix(1_763_000_000, 123_456_789).label_text();
            let line = [&label[..], b" ", line].concat();
            let expected = expected.replace('T', "2025-11-13T02:13:20.123456Z");
            assert_eq!(message(&line, "router"), expected);
        }
        let long = alloc::format!("@400000000000000a00000000 {} x", "s".repeat(49));
        assert!(
            message(long.as_bytes(), "").contains(&alloc::format!("Z - {} - ", "s".repeat(48)))
        );
    }

    #[test]
    fn a_time_is_told_only_where_there_is_one() {
        for (label, time) in [
            ("@400000000000000a00000000", "1970-01-01T00:00:00.000000Z"),
            ("@40000000586846a400000000", "2016-12-31T23:59:59.000000Z"), // the leap second
            ("@400000000000000000000000", "-"),                           // before all time
            ("@4000010000000000ffffffff", "-"),
            ("@400000f00000000000000000", "-"), // in the year 32,686
        ] {
            let said = message(alloc::format!("{label} a b").as_bytes(), "h");
            assert_eq!(said, alloc::format!("<30>1 {time} h a - - - b"));
        }
        assert_eq!(message(b"nothing", "h"), "<30>1 - h - - - - nothing");
    }

    #[test]
    fn in_a_stream_a_message_stands_behind_its_length() {
        let mut out = Vec::new();
        for line in [&b"a"[..], b"\xff\n "] {
            append_counted(&Entry::new(Line::read(line, true)), b"h", &mut out);
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "19 <30>1 - h - - - - a23 <30>1 - h - - - - \u{fffd}\n "
        );
    }
}
