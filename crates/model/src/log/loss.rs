//! What the log says of lines that are lost: `lost COUNT lines of SERVICE`, as a line of the logger's own.

use alloc::format;
use alloc::string::String;

use crate::log::kernel;
use crate::log::line::Line;
use crate::log::mark::SERVICE;

/// The text of such a line.
pub fn text(lines: u64, service: &str) -> String {
    format!("lost {lines} lines of {service}")
}

/// How many lines of which service a line says are lost; `None`: it says something else, or nobody who
/// would know.
pub fn read<'a>(line: &Line<'a>) -> Option<(u64, &'a str)> {
    // The kernel counts what is missing of its own.
    if ![SERVICE, kernel::SERVICE].iter().any(|it| line.service == Some(it.as_bytes())) {
        return None;
    }
    let text = core::str::from_utf8(line.text).ok()?.strip_prefix("lost ")?;
    let (lines, service) = text.split_once(" lines of ")?;
    Some((lines.parse().ok()?, service))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_logger_says_what_is_lost() {
        let said = text(17, "dns");
        let line =
            |service: &str, text: &str| format!("@400000000000000a00000000 {service} {text}");
        for (line, expected) in [
            (line(SERVICE, &said), Some((17, "dns"))),
            (line("dns", &said), None),
            (line(SERVICE, "lost many lines of dns"), None),
            (line(SERVICE, "boot"), None),
            (line(SERVICE, "lost 99999999999999999999 lines of dns"), None),
        ] {
            assert_eq!(read(&Line::read(line.as_bytes(), true)), expected, "{line}");
        }
    }
}
