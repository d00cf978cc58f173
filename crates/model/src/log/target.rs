//! Where a log is sent: `syslog+tcp://host:port`, `http://host:port/path`, or a directory.

use core::fmt;

/// A syslog server listens there unless something else is said (RFC 5426, 3.3).
const SYSLOG_PORT: u16 = 514;
const HTTP_PORT: u16 = 80;

/// Characters of a name in the DNS (RFC 1035, 2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// What Loki takes lines at, whatever stands before it.
const LOKI: &str = "/loki/api/v1/push";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Messages of RFC 5424 in a stream.
    SyslogTcp(Server<'a>),
    /// The same, each in a datagram.
    SyslogUdp(Server<'a>),
    /// Objects or streams in the body of a request; the path is what stands in that.
    Http { server: Server<'a>, path: &'a str, form: Form },
    /// Compressed files.
    Directory(&'a str),
}

/// What an HTTP server is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A JSON object in each line.
    Lines,
    /// What Loki takes.
    Loki,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server<'a> {
    /// A name or an address, without brackets.
    pub host: &'a str,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// It begins with nothing that is known.
    Kind,
    /// `https`, which would need more than fits.
    Tls,
    Host,
    Port,
    Path,
}

impl<'a> Target<'a> {
    pub fn parse(text: &'a str) -> Result<Self, TargetError> {
        if text.starts_with('/') {
            return Ok(Self::Directory(text));
        }
        let (kind, rest) = text.split_once("://").ok_or(TargetError::Kind)?;
        match kind {
            "syslog+tcp" => Ok(Self::SyslogTcp(Server::parse(rest, SYSLOG_PORT)?)),
            "syslog+udp" => Ok(Self::SyslogUdp(Server::parse(rest, SYSLOG_PORT)?)),
            "http" => {
                let end = rest.find('/').unwrap_or(rest.len());
                let (server, path) = rest.split_at(end);
                let path = if path.is_empty() { "/" } else { path };
                if !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
                    return Err(TargetError::Path);
                }
                let plain = path.split_once('?').map_or(path, |(plain, _)| plain);
                let form = if plain.ends_with(LOKI) { Form::Loki } else { Form::Lines };
                Ok(Self::Http { server: Server::parse(server, HTTP_PORT)?, path, form })
            }
            "https" | "syslog+tls" => Err(TargetError::Tls),
            _ => Err(TargetError::Kind),
        }
    }
}

impl<'a> Server<'a> {
    /// `name`, `name:port`, `[address]:port`.
    fn parse(text: &'a str, port: u16) -> Result<Self, TargetError> {
        let (host, rest) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or(TargetError::Host)?,
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let colons = text.starts_with('[');
        let fits = |byte: u8| match byte {
            b':' => colons,
            _ => byte.is_ascii_alphanumeric() || b"-._".contains(&byte),
        };
        if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.bytes().all(fits) {
            return Err(TargetError::Host);
        }
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => port,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|port| *port > 0).ok_or(TargetError::Port)?
            }
            _ => return Err(TargetError::Port),
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for Server<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kind => {
                "a target begins with syslog+tcp://, syslog+udp:// or http://, or is a directory"
            }
            Self::Tls => "there is no TLS here: send to something at home that has it",
            Self::Host => "that is no name of a host",
            Self::Port => "that is no port",
            Self::Path => "that is no path",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_whole_or_not_at_all() {
        use Form::*;
        use Target::*;
        use TargetError::*;
        let server = |host, port| Server { host, port };
        for (text, expected) in [
            ("syslog+tcp://loghost", Ok(SyslogTcp(server("loghost", 514)))),
            ("syslog+tcp://10.0.0.1:6514", Ok(SyslogTcp(server("10.0.0.1", 6514)))),
            ("syslog+udp://[fd00::1]", Ok(SyslogUdp(server("fd00::1", 514)))),
            ("syslog+udp://[fd00::1]:99", Ok(SyslogUdp(server("fd00::1", 99)))),
            ("http://vl", Ok(Http { server: server("vl", 80), path: "/", form: Lines })),
            (
                "http://vl:9428/insert/jsonline?_stream_fields=host,service",
                Ok(Http {
                    server: server("vl", 9428),
                    path: "/insert/jsonline?_stream_fields=host,service",
                    form: Lines,
                }),
            ),
            (
                "http://l:3100/loki/api/v1/push",
                Ok(Http { server: server("l", 3100), path: LOKI, form: Loki }),
            ),
            ("/persist/log", Ok(Directory("/persist/log"))),
            ("https://vl/", Err(Tls)),
            ("syslog+tls://x", Err(Tls)),
            ("syslog://x", Err(Kind)),
            ("persist/log", Err(Kind)),
            ("", Err(Kind)),
            ("http://", Err(Host)),
            ("http:///x", Err(Host)),
            ("http://me@vl/", Err(Host)),
            ("http://[fd00::1/", Err(Host)),
            ("http://a b/", Err(Host)),
            ("http://fd00::1/", Err(Port)),
            ("http://vl:/", Err(Port)),
            ("http://vl:0/", Err(Port)),
            ("http://vl:65536/", Err(Port)),
            ("http://vl:+1/", Err(Port)),
            ("http://[::1]x/", Err(Port)),
            ("http://vl/a b", Err(Path)),
            ("http://vl/a#b", Err(Path)),
            ("http://vl/a\r\nHost: b", Err(Path)),
            ("syslog+tcp://h/x", Err(Host)),
        ] {
            assert_eq!(Target::parse(text), expected, "{text:?}");
        }
        assert_eq!(alloc::format!("{}", server("fd00::1", 1)), "[fd00::1]:1");
        assert_eq!(alloc::format!("{}", server("vl", 80)), "vl:80");
    }
}
