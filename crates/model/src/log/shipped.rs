//! Lines as HTTP servers take them: a JSON object in each line (VictoriaLogs), or Loki's streams.

use alloc::vec::Vec;

use crate::label::append;
use crate::log::entry::{Entry, append_string};
use crate::log::priority::Priority;
use crate::time::Date;

/// What severities are called.
const LEVELS: [&[u8]; 8] =
    [b"emerg", b"alert", b"critical", b"error", b"warning", b"notice", b"info", b"debug"];

/// Appends an object, which ends in a newline. What is not known is not there.
pub fn append_object(entry: &Entry<'_>, host: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"_msg\":");
    append_string(entry.line.text, out);
    let length = out.len();
    out.extend_from_slice(b",\"_time\":");
    if !entry.append_time(out) {
        out.truncate(length);
    }
    let boot = entry.boot.as_ref().map(|boot| &boot[..]);
    let fields = [(&b"host"[..], Some(host)), (b"service", entry.line.service), (b"boot", boot)];
    append_fields(&fields, out);
    entry.append_priority(out);
    out.extend_from_slice(b"}\n");
}

/// What stands before all that goes to Loki at once, and behind it.
pub const STREAMS_BEGIN: &[u8] = b"{\"streams\":[";
pub const STREAMS_END: &[u8] = b"]}";

/// Appends a stream with one line; `first`: none stands before it. Each line there must have a time, and
/// `today` is that of one that has none.
pub fn append_stream(entry: &Entry<'_>, host: &[u8], today: Date, first: bool, out: &mut Vec<u8>) {
    if !first {
        out.push(b',');
    }
    out.extend_from_slice(b"{\"stream\":{\"job\":\"ward\"");
    let level = entry.priority.map(|priority| LEVELS[usize::from(Priority::severity(priority))]);
    let fields = [(&b"host"[..], Some(host)), (b"service", entry.line.service), (b"level", level)];
    append_fields(&fields, out);
    out.extend_from_slice(b"},\"values\":[[\"");
    let date = entry.date.unwrap_or(today);
    append(date.unix().0.max(0).unsigned_abs(), 1, out);
    append(date.nanos.into(), 9, out);
    out.extend_from_slice(b"\",");
    append_string(entry.line.text, out);
    out.extend_from_slice(b"]]}");
}

fn append_fields(fields: &[(&[u8], Option<&[u8]>)], out: &mut Vec<u8>) {
    for (name, value) in fields {
        if let Some(value) = value {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name);
            out.extend_from_slice(b"\":");
            append_string(value, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::line::Line;
    use alloc::string::String;

    #[test]
    fn an_object_says_what_is_known() {
        let mut out = Vec::new();
        let label = Date::from_unix(1_763_000_000, 7).label_text();
        let line = [&label[..], b" dns <3>\"bad\"\xff"].concat();
        let entry = Entry::new(Line::read(&line, true));
        let boot = Some(*b"0a1b2c3d-1111-2222-3333-0123456789ab");
        append_object(&Entry { boot, ..entry }, b"router", &mut out);
        append_object(&Entry::new(Line::read(b"plain", true)), b"router", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"_msg":"\"bad\"�","_time":"2025-11-13T02:13:20.000000007Z","host":"router","#,
                r#""service":"dns","boot":"0a1b2c3d-1111-2222-3333-0123456789ab","priority":3}"#,
                "\n",
                r#"{"_msg":"plain","host":"router"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn loki_gets_streams_in_which_each_line_has_a_time() {
        let mut out = STREAMS_BEGIN.to_vec();
        let today = Date::from_unix(1_763_000_000, 7);
        let line = [&today.label_text()[..], b" dns <3>bad"].concat();
        append_stream(&Entry::new(Line::read(&line, true)), b"r", Date::default(), true, &mut out);
        append_stream(&Entry::new(Line::read(b"x", true)), b"r", today, false, &mut out);
        out.extend_from_slice(STREAMS_END);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"streams":[{"stream":{"job":"ward","host":"r","service":"dns","level":"error"},"#,
                r#""values":[["1763000000000000007","bad"]]},{"stream":{"job":"ward","host":"r"},"#,
                r#""values":[["1763000000000000007","x"]]}]}"#
            )
        );
    }
}
