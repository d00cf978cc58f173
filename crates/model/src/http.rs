//! What a browser asks of the status page: the head of a request, and whom it believes to talk to.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::limits::REQUEST_HEAD_BYTES_MAX;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Only the head of the answer is wanted.
    pub head_only: bool,
    /// As it was sent: nothing that is served needs an escape in its path.
    pub path: String,
    /// Names and values behind the `?`.
    pub query: Vec<(String, String)>,
    /// Whom the browser believes to talk to.
    pub host: Option<String>,
}

/// Why there is no answer but this status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no request of HTTP.
    Malformed,
    /// It is one that wants something else than to look.
    Method,
    /// Its head is too long.
    TooLong,
    /// It is of another version than 1.
    Version,
}

impl Refusal {
    /// The status, and what stands behind it.
    pub fn status(self) -> &'static str {
        match self {
            Self::Malformed => "400 Bad Request",
            Self::Method => "405 Method Not Allowed",
            Self::TooLong => "431 Request Header Fields Too Large",
            Self::Version => "505 HTTP Version Not Supported",
        }
    }
}

/// Names and values of one query; more are passed over.
const PARAMETERS_MAX: usize = 8;

impl Request {
    /// Reads the head of a request from the bytes that have come so far; `None`: it has not ended.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, Refusal> {
        let Some(head) = head(bytes) else {
            let too_long = bytes.len() >= REQUEST_HEAD_BYTES_MAX;
            return if too_long { Err(Refusal::TooLong) } else { Ok(None) };
        };
        if head.len() > REQUEST_HEAD_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        let head = core::str::from_utf8(head).map_err(|_| Refusal::Malformed)?;
        let mut lines = head.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Refusal::Malformed);
        };
        let is_token = |text: &str| !text.is_empty() && text.bytes().all(is_token_byte);
        let is_path = target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_token(method) || !is_path {
            return Err(Refusal::Malformed);
        }
        let old = match version {
            "HTTP/1.1" => false,
            "HTTP/1.0" => true,
            _ if version.starts_with("HTTP/") => return Err(Refusal::Version),
            _ => return Err(Refusal::Malformed),
        };
        let mut host = None;
        for line in lines {
            // A line that goes on with the one before begins with a blank, which is no name.
            let (name, value) = line.split_once(':').ok_or(Refusal::Malformed)?;
            if !is_token(name) || value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t')
            {
                return Err(Refusal::Malformed);
            }
            if name.eq_ignore_ascii_case("host") {
                let value = value.trim_matches([' ', '\t']);
                if host.replace(String::from(value)).is_some() {
                    return Err(Refusal::Malformed);
                }
            }
        }
        if host.is_none() && !old {
            return Err(Refusal::Malformed);
        }
        let head_only = match method {
            "GET" => false,
            "HEAD" => true,
            _ => return Err(Refusal::Method),
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = query.split('&').filter(|pair| !pair.is_empty()).take(PARAMETERS_MAX);
        let query = query.filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name)?, decoded(value)?))
        });
        Ok(Some(Self { head_only, path: path.into(), query: query.collect(), host }))
    }

    /// The first value of this name that says something.
    pub fn value(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// Whether the browser means this device: by an address, as `localhost`, or by one of these names. A name
    /// that somebody else has made to lead here would let a page of theirs read what is answered.
    pub fn is_meant(&self, names: &[String]) -> bool {
        let Some(host) = &self.host else { return true };
        if let Some(rest) = host.strip_prefix('[') {
            let Some((address, port)) = rest.split_once(']') else { return false };
            let port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
            return port && address.parse::<core::net::Ipv6Addr>().is_ok();
        }
        let name = match host.split_once(':') {
            Some((name, port)) if is_port(port) => name,
            Some(_) => return false,
            None => host,
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        let known = |known: &str| name.eq_ignore_ascii_case(known);
        name.parse::<IpAddr>().is_ok() || known("localhost") || names.iter().any(|it| known(it))
    }
}

/// All before the empty line, if that has come.
fn head(bytes: &[u8]) -> Option<&[u8]> {
    let mut from = 0;
    loop {
        let end = from + bytes[from..].iter().position(|&byte| byte == b'\n')?;
        match &bytes[end + 1..] {
            [b'\n', ..] | [b'\r', b'\n', ..] => {
                return Some(bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]));
            }
            _ => from = end + 1,
        }
    }
}

fn is_port(text: &str) -> bool {
    text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// RFC 9110, 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What a form has written; `None` where that is no text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                (digit()? * 16 + digit()?) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Appends text so that it is one value of a query.
pub fn append_encoded(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            out.push(b'%');
            crate::label::append_hex(&[byte], out);
        }
    }
}

/// Appends text so that it stands in HTML, also in an attribute's quotes, as what it is.
pub fn append_html(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            // Not even a comment ends a text; what a browser does with a zero is anybody's guess.
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            byte => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    fn read(text: &str) -> Result<Option<Request>, Refusal> {
        Request::read(text.as_bytes())
    }

    #[test]
    fn a_request_is_read_once_its_head_has_ended() {
        let text = "GET /log?service=dns%20x&from=a+b HTTP/1.1\r\nAccept: */*\r\nhOST: \t192.168.8.1:8080 \r\n\r\nrest";
        let expected = Request {
            head_only: false,
            path: "/log".into(),
            query: vec![("service".into(), "dns x".into()), ("from".into(), "a b".into())],
            host: Some("192.168.8.1:8080".into()),
        };
        let end = text.find("rest").unwrap();
        for cut in 0..end {
            assert_eq!(read(&text[..cut]), Ok(None), "{cut}");
        }
        for cut in end..=text.len() {
            assert_eq!(read(&text[..cut]), Ok(Some(expected.clone())), "{cut}");
        }
        let bare = read("HEAD / HTTP/1.0\n\n").unwrap().unwrap();
        assert!(bare.head_only && bare.host.is_none() && bare.value("x").is_none());
    }

    #[test]
    fn what_is_no_request_to_look_is_refused() {
        use Refusal::*;
        for (text, why) in [
            ("\r\n\r\n", Malformed),
            ("GET\n\n", Malformed),
            ("GET / HTTP/1.1\n\n", Malformed), // no host
            ("GET  / HTTP/1.1\nhost: a\n\n", Malformed),
            ("GET / HTTP/1.1 \nhost: a\n\n", Malformed),
            ("G(T / HTTP/1.0\n\n", Malformed),
            ("GET http://a/ HTTP/1.0\n\n", Malformed),
            ("GET /\u{1b} HTTP/1.0\n\n", Malformed),
            ("GET /ü HTTP/1.0\n\n", Malformed),
            ("GET / HTTP/1.1\nhost: a\nhost: a\n\n", Malformed),
            ("GET / HTTP/1.1\nhost: a\n b\n\n", Malformed),
            ("GET / HTTP/1.1\nhost : a\n\n", Malformed),
            ("GET / HTTP/1.1\nhost: a\u{0}b\n\n", Malformed),
            ("GET / HTTP/1.1\nhost: a\rb\n\n", Malformed),
            ("GET / HTTP/2\n\n", Version),
            ("GET / FTP\n\n", Malformed),
            ("POST / HTTP/1.0\n\n", Method),
            ("DELETE /x HTTP/1.0\ncontent-length: 5\n\n12345", Method),
        ] {
            assert_eq!(read(text), Err(why), "{text:?}");
        }
        assert_eq!(Request::read(b"GET /\xff HTTP/1.0\n\n"), Err(Malformed));
        let long = "x".repeat(REQUEST_HEAD_BYTES_MAX);
        assert_eq!(read(&long), Err(TooLong));
        assert_eq!(read(&long[1..]), Ok(None));
        assert_eq!(read(&format!("GET / HTTP/1.0\na: {long}\n\n")), Err(TooLong));
    }

    #[test]
    fn only_addresses_and_names_of_this_device_are_meant() {
        let names = ["Router.lan".to_string()];
        for (host, expected) in [
            ("192.168.8.1", true),
            ("192.168.8.1:8080", true),
            ("[fe80::1]:8080", true),
            ("[::1]", true),
            ("localhost:1", true),
            ("LOCALHOST", true),
            ("router.lan", true),
            ("ROUTER.LAN.:80", true),
            ("evil.example", false),
            ("192.168.8.1.evil.example", false),
            ("router.lan.evil.example:8080", false),
            ("192.168.8.1:", true),
            ("192.168.8.1:x", false),
            ("192.168.8.1:8080:1", false),
            ("[fe80::1", false),
            ("[192.168.8.1]", false),
            ("[::1]x", false),
            ("", false),
            ("0x7f.1", false),
        ] {
            let request = read(&format!("GET / HTTP/1.1\nhost: {host}\n\n")).unwrap().unwrap();
            assert_eq!(request.is_meant(&names), expected, "{host:?}");
        }
    }

    #[test]
    fn a_query_holds_what_a_form_has_written() {
        for (query, expected) in [
            ("a=1", Some("1")),
            ("b=2&a=%C3%BC", Some("ü")),
            ("a=&a=2", Some("2")),
            ("a", None),
            ("a=%", None),
            ("a=%4", None),
            ("a=%+1", None),
            ("a=%ff", None),
            ("%61=x=y", Some("x=y")),
            ("1&2&3&4&5&6&7&8&a=9", None),
        ] {
            let request = read(&format!("GET /?{query} HTTP/1.0\n\n")).unwrap().unwrap();
            assert_eq!(request.value("a"), expected, "{query}");
        }
        let mut out = Vec::new();
        append_encoded("a b/ü&=%", &mut out);
        assert_eq!(out, b"a%20b%2f%c3%bc%26%3d%25");
        let text = core::str::from_utf8(&out).unwrap();
        assert_eq!(decoded(text).as_deref(), Some("a b/ü&=%"));
    }

    #[test]
    fn nothing_in_a_text_is_a_tag() {
        let mut out = Vec::new();
        append_html("<b a='1' c=\"2\">&ü\0", &mut out);
        let expected = "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;ü\u{fffd}";
        assert_eq!(core::str::from_utf8(&out), Ok(expected));
    }
}
