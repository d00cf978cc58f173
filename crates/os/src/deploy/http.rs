//! One file from a web server (RFC 9112), as it comes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use model::log::answer::{Answer, Outcome};
use model::log::target::{Server, Target};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{self, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::log::ship::stream::socket;
use crate::resolver;

/// How long a server may say nothing.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Bytes that are read at once.
const PIECE_BYTES: usize = 16 << 10;

/// A web server, and the folder there that is meant.
pub struct Site<'a> {
    server: Server<'a>,
    /// Without a slash at its end.
    folder: &'a str,
}

impl<'a> Site<'a> {
    /// Reads `http://HOST[:PORT][/FOLDER]`.
    pub fn parse(url: &'a str) -> Result<Self, String> {
        if url.starts_with("https:") {
            return Err(
                "there is no TLS here: signatures protect what comes, and a server at home \
                        can pass it on"
                    .into(),
            );
        }
        match Target::parse(url) {
            Ok(Target::Http { server, path, .. }) if !path.contains('?') => {
                Ok(Self { server, folder: path.trim_end_matches('/') })
            }
            _ => Err(format!("{url} is not http://HOST[:PORT][/FOLDER]")),
        }
    }

    /// Fetches a file, of at most so many bytes; what it holds is given to `put`, which says whether to go on. The
    /// status: what a server says beside another one than 200 is passed over.
    pub fn get(
        &self,
        name: &str,
        bytes_max: u64,
        put: &mut dyn FnMut(&[u8]) -> bool,
    ) -> io::Result<u16> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in resolver::addresses(self.server.host)? {
            match self.connect(&SocketAddr::new(address, self.server.port)) {
                Ok(socket) => return self.ask(&socket, name, bytes_max, put),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn connect(&self, to: &SocketAddr) -> io::Result<std::os::fd::OwnedFd> {
        let socket = socket(to, SocketType::STREAM, SocketFlags::empty())?;
        set_socket_timeout(&socket, Timeout::Send, Some(SILENCE_MAX))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(SILENCE_MAX))?;
        net::connect(&socket, to)?;
        Ok(socket)
    }

    fn ask(
        &self,
        socket: &std::os::fd::OwnedFd,
        name: &str,
        bytes_max: u64,
        put: &mut dyn FnMut(&[u8]) -> bool,
    ) -> io::Result<u16> {
        let Self { server, folder } = self;
        let request = format!(
            "GET {folder}/{name} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\
             User-Agent: ward\r\nAccept-Encoding: identity\r\n\r\n"
        );
        let mut rest = request.as_bytes();
        while !rest.is_empty() {
            match net::send(socket, rest, SendFlags::NOSIGNAL) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // Chunks have lengths before them, and blank lines behind.
        let mut answer = Answer::up_to(bytes_max.saturating_mul(2).saturating_add(64 << 10));
        let (mut buffer, mut all, mut goes_on) = (vec![0; PIECE_BYTES], Vec::new(), true);
        loop {
            let count = match net::recv(socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((count, _)) => count,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Err(error.into()),
            };
            let outcome = match count {
                0 => answer.end(),
                count => answer.push_to(&buffer[..count], &mut |body| all.extend_from_slice(body)),
            };
            if answer.status() == Some(200) {
                goes_on = goes_on && put(&all);
            }
            all.clear();
            match outcome {
                Outcome::Over { status, .. } => return Ok(status),
                Outcome::Wrong => return Err(io::ErrorKind::InvalidData.into()),
                Outcome::Unfinished if !goes_on => return Ok(answer.status().unwrap_or(0)),
                Outcome::Unfinished => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_site_is_one() {
        for (url, expected) in [
            ("http://cache", Some(("cache", 80, ""))),
            ("http://cache/", Some(("cache", 80, ""))),
            ("http://[::1]:8080/nix/cache/", Some(("::1", 8080, "/nix/cache"))),
            ("https://cache", None),
            ("file:///cache", None),
            ("http://", None),
            ("http://cache/?x=y", None),
        ] {
            let found = Site::parse(url).ok();
            let found = found.map(|site| (site.server.host, site.server.port, site.folder));
            assert_eq!(found, expected, "{url}");
        }
    }
}
