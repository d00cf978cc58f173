//! Cuts what lies in a pipe into lines.

use model::limits::LOG_LINE_BYTES_MAX;
use model::log::line::{line_end, newline};

/// What may still come behind the bytes that are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// More: an unfinished line waits for its newline.
    Open,
    /// Nothing, until some are taken: the pipe is full.
    Full,
    /// Nothing: nobody can write there any more.
    Ended,
}

/// A line, or a part of one that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Without its newline.
    pub text: &'a [u8],
    /// Bytes to take from the pipe for it, with its newline.
    pub taken: usize,
    /// Its line goes on behind it.
    pub cut: bool,
}

/// The first piece of `bytes`; `None` while it is unfinished.
pub fn first_piece(bytes: &[u8], rest: Rest) -> Option<Piece<'_>> {
    let near = &bytes[..bytes.len().min(LOG_LINE_BYTES_MAX + 1)];
    if let Some(at) = newline(near) {
        return Some(Piece { text: &bytes[..at], taken: at + 1, cut: false });
    }
    if bytes.len() > LOG_LINE_BYTES_MAX {
        let text = &bytes[..LOG_LINE_BYTES_MAX];
        return Some(Piece { text, taken: text.len(), cut: true });
    }
    if bytes.is_empty() || rest == Rest::Open {
        return None;
    }
    Some(Piece { text: bytes, taken: bytes.len(), cut: rest == Rest::Full })
}

/// The first line of `bytes` as `s6-log` counts them: to a newline or NUL, or
/// the first `limit` bytes of a longer one (0: as long as it is). `None` while
/// its end has not come.
pub fn first_line(bytes: &[u8], limit: usize) -> Option<Piece<'_>> {
    let near = if limit == 0 { bytes } else { &bytes[..bytes.len().min(limit + 1)] };
    if let Some(at) = line_end(near) {
        return Some(Piece { text: &bytes[..at], taken: at + 1, cut: false });
    }
    let cut = limit != 0 && bytes.len() > limit;
    cut.then(|| Piece { text: &bytes[..limit], taken: limit, cut: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_line_ends_at_its_newline_or_where_it_is_too_long() {
        let max = LOG_LINE_BYTES_MAX;
        let mut just = vec![b'x'; max];
        just.push(b'\n');
        let mut long = vec![b'x'; max + 1];
        long.push(b'\n');
        for (bytes, rest, text, taken, cut) in [
            (&b"a\nb\n"[..], Rest::Open, 1, 2, false),
            (b"\n", Rest::Open, 0, 1, false),
            (b"a\0\xff\n", Rest::Open, 3, 4, false), // NUL is a byte like another
            (&just, Rest::Open, max, max + 1, false),
            (&long, Rest::Open, max, max, true),
            (&long[..max + 1], Rest::Open, max, max, true),
            (b"half", Rest::Full, 4, 4, true),
            (b"half", Rest::Ended, 4, 4, false),
        ] {
            let piece = first_piece(bytes, rest).expect("there is a piece");
            assert_eq!((piece.text.len(), piece.taken, piece.cut), (text, taken, cut));
        }
        assert_eq!(first_piece(b"half", Rest::Open), None);
        assert_eq!(first_piece(&long[..max], Rest::Open), None, "its newline may come next");
        assert_eq!(first_piece(b"", Rest::Ended), None);
    }

    #[test]
    fn a_line_of_s6_log_ends_at_newline_or_nul_and_is_split_at_the_limit() {
        for (bytes, limit, expected) in [
            (&b"ab\0c"[..], 0, Some((2, 3, false))),
            (b"abcd\n", 4, Some((4, 5, false))),
            (b"abcde\n", 4, Some((4, 4, true))),
            (b"abcd", 4, None),
            (b"abcdefgh", 0, None),
            (b"\0", 0, Some((0, 1, false))),
        ] {
            let found = first_line(bytes, limit);
            assert_eq!(found.map(|line| (line.text.len(), line.taken, line.cut)), expected);
        }
    }
}
