//! What an HTTP server answers (RFC 9112), as far as one wants to know whether it took something:
//! the status, and where the answer ends. Nothing of it is kept.

/// Bytes of all lines before the body.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Bytes of a body: whoever says more is hung up on.
const BODY_BYTES_MAX: u64 = 1 << 20;

/// Bytes of a line that are looked at.
const LINE_BYTES: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// More has to come.
    Unfinished,
    /// It is over. `keeps`: the connection can be used again.
    Over { status: u16, keeps: bool },
    /// That is no answer, or one that is too long.
    Wrong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Status,
    Headers,
    /// So many bytes are left of the body.
    Body(u64),
    /// The body ends with the connection.
    Rest,
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    Over,
    Wrong,
}

/// Reads one answer, piece by piece.
#[derive(Debug)]
pub struct Answer {
    state: State,
    status: u16,
    keeps: bool,
    length: Option<u64>,
    chunked: bool,
    /// Of the head, or of the body.
    bytes: u64,
    line: [u8; LINE_BYTES],
    line_bytes: usize,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            state: State::Status,
            status: 0,
            keeps: false,
            length: None,
            chunked: false,
            bytes: 0,
            line: [0; LINE_BYTES],
            line_bytes: 0,
        }
    }
}

impl Answer {
    /// Takes what came.
    pub fn push(&mut self, mut bytes: &[u8]) -> Outcome {
        while let Some((&byte, rest)) = bytes.split_first() {
            let taken = match self.state {
                State::Body(left) | State::Chunk(left) => {
                    let taken = left.min(bytes.len() as u64);
                    let left = left - taken;
                    self.state = match self.state {
                        State::Body(_) if left == 0 => State::Over,
                        State::Body(_) => State::Body(left),
                        _ if left == 0 => State::ChunkEnd,
                        _ => State::Chunk(left),
                    };
                    taken as usize
                }
                State::Rest => bytes.len(),
                // What comes behind an answer that nobody asked for.
                State::Over => {
                    self.keeps = false;
                    break;
                }
                State::Wrong => break,
                _ if byte == b'\n' => {
                    let line = self.line;
                    let line = &line[..self.line_bytes.min(LINE_BYTES)];
                    self.state = self.next(line.trim_ascii_end());
                    self.line_bytes = 0;
                    bytes.len() - rest.len()
                }
                _ => {
                    if let Some(place) = self.line.get_mut(self.line_bytes) {
                        *place = byte;
                    }
                    self.line_bytes += 1;
                    1
                }
            };
            self.bytes += taken as u64;
            let most = match self.state {
                State::Status | State::Headers => HEAD_BYTES_MAX as u64,
                _ => BODY_BYTES_MAX,
            };
            if self.bytes > most {
                self.state = State::Wrong;
            }
            bytes = &bytes[taken..];
        }
        self.outcome()
    }

    /// The status, once it is known: there may be more to come.
    pub fn status(&self) -> Option<u16> {
        let known = !matches!(self.state, State::Status | State::Wrong) && self.status >= 200;
        known.then_some(self.status)
    }

    /// The connection has ended.
    pub fn end(&mut self) -> Outcome {
        (self.state, self.keeps) = match self.state {
            State::Rest | State::Over => (State::Over, false),
            _ => (State::Wrong, false),
        };
        self.outcome()
    }

    fn outcome(&self) -> Outcome {
        match self.state {
            State::Over => Outcome::Over { status: self.status, keeps: self.keeps },
            State::Wrong => Outcome::Wrong,
            _ => Outcome::Unfinished,
        }
    }

    /// What follows a line, which may have been cut.
    fn next(&mut self, line: &[u8]) -> State {
        match self.state {
            State::Status => self.begin(line).unwrap_or(State::Wrong),
            State::Headers if line.is_empty() => self.body(),
            State::Headers => self.header(line),
            State::ChunkSize => {
                let end = line.iter().position(|byte| !byte.is_ascii_hexdigit());
                let digits = &line[..end.unwrap_or(line.len())];
                let size = core::str::from_utf8(digits).ok();
                match size.and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
                    Some(0) => State::Trailers,
                    Some(size) => State::Chunk(size),
                    None => State::Wrong,
                }
            }
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::Trailers if line.is_empty() => State::Over,
            State::Trailers => State::Trailers,
            _ => State::Wrong,
        }
    }

    /// `HTTP/1.1 204 No Content`
    fn begin(&mut self, line: &[u8]) -> Option<State> {
        let rest = line.strip_prefix(b"HTTP/1.")?;
        let (minor, rest) = rest.split_first_chunk::<2>()?;
        let (digits, rest) = rest.split_first_chunk::<3>()?;
        if minor[1] != b' ' || !(rest.is_empty() || rest[0] == b' ') {
            return None;
        }
        let status: u16 = core::str::from_utf8(digits).ok()?.parse().ok()?;
        (self.status, self.keeps) = (status, minor[0] != b'0');
        (self.length, self.chunked) = (None, false);
        (100..1000).contains(&status).then_some(State::Headers)
    }

    fn header(&mut self, line: &[u8]) -> State {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { return State::Wrong };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = value.iter().all(u8::is_ascii_digit);
            let length = core::str::from_utf8(value).ok().filter(|_| digits);
            let length = length.and_then(|value| value.parse().ok());
            // Two that differ are an attack on somebody.
            if length.is_none() || self.length.is_some_and(|known| Some(known) != length) {
                return State::Wrong;
            }
            self.length = length;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked = value.eq_ignore_ascii_case(b"chunked");
            if !self.chunked {
                return State::Wrong;
            }
        } else if name.eq_ignore_ascii_case(b"connection") {
            self.keeps = !value.eq_ignore_ascii_case(b"close");
        }
        State::Headers
    }

    /// What follows the head.
    fn body(&mut self) -> State {
        let status = self.status;
        if status >= 200 {
            self.bytes = 0;
        }
        match self.length {
            // Only news of what goes on.
            _ if status < 200 && status != 101 => State::Status,
            _ if status == 204 || status == 304 => State::Over,
            _ if self.chunked => State::ChunkSize,
            Some(0) => State::Over,
            Some(length) => State::Body(length),
            None => State::Rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However the bytes come, they mean the same.
    fn read(text: &[u8]) -> (Outcome, Outcome) {
        let mut whole = Answer::default();
        let outcome = whole.push(text);
        let mut single = Answer::default();
        let mut last = Outcome::Unfinished;
        for byte in text {
            last = single.push(&[*byte]);
        }
        assert_eq!(outcome, last, "{}", text.escape_ascii());
        (outcome, whole.end())
    }

    #[test]
    fn an_answer_ends_where_it_says() {
        let over = |status, keeps| Outcome::Over { status, keeps };
        for (text, expected) in [
            ("HTTP/1.1 204 No Content\r\n\r\n", over(204, true)),
            ("HTTP/1.1 204\n\n", over(204, true)),
            ("HTTP/1.0 204 OK\r\n\r\n", over(204, false)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", over(200, true)),
            ("HTTP/1.1 200 OK\r\ncontent-length:0\r\nConnection: Close\r\n\r\n", over(200, false)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", Outcome::Unfinished),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd", over(200, false)),
            (
                "HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n",
                over(500, true),
            ),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 OK\r\n\r\n", over(204, true)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", Outcome::Wrong),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\n", Outcome::Wrong),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", Outcome::Wrong),
            ("HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n", Outcome::Wrong),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", Outcome::Wrong),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", Outcome::Wrong),
            ("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", Outcome::Wrong),
            ("HTTP/1.1 20 OK\r\n\r\n", Outcome::Wrong),
            ("HTTP/2 200\r\n\r\n", Outcome::Wrong),
            ("220 mail\r\n", Outcome::Wrong),
            ("HTTP/1.1 200 OK\r\n", Outcome::Unfinished),
        ] {
            assert_eq!(read(text.as_bytes()).0, expected, "{text:?}");
        }
    }

    #[test]
    fn the_status_is_known_behind_its_line() {
        let mut answer = Answer::default();
        answer.push(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No");
        assert_eq!(answer.status(), None);
        answer.push(b" Content\r\n");
        assert_eq!(answer.status(), Some(204));
        assert_eq!(answer.push(b"nonsense\r\n"), Outcome::Wrong);
        assert_eq!(answer.status(), None);
    }

    #[test]
    fn what_ends_with_the_connection_is_over_then_and_the_rest_is_cut_off() {
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\nabc", Outcome::Over { status: 200, keeps: false }),
            ("HTTP/1.1 204 OK\r\n\r\n", Outcome::Over { status: 204, keeps: false }),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", Outcome::Wrong),
            ("", Outcome::Wrong),
        ] {
            assert_eq!(read(text.as_bytes()).1, expected, "{text:?}");
        }
    }

    #[test]
    fn whoever_says_too_much_is_not_listened_to() {
        for (head, rest) in [
            ("HTTP/1.1 200 ", "x"),
            ("HTTP/1.1 200 OK\r\n", "A: b\r\n"),
            ("HTTP/1.1 200 OK\r\n\r\n", "x"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "x"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "A: b\r\n"),
            ("", "HTTP/1.1 100 Continue\r\n\r\n"),
        ] {
            let mut answer = Answer::default();
            let mut outcome = answer.push(head.as_bytes());
            let mut count = 0;
            while outcome == Outcome::Unfinished {
                outcome = answer.push(rest.as_bytes());
                count += rest.len();
                assert!(count < 2 << 20, "{head:?}");
            }
            assert_eq!(outcome, Outcome::Wrong);
        }
    }
}
