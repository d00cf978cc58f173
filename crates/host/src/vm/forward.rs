//! Ports of this machine that lead to ports of a virtual router.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use cli::Failure;

use crate::say::say;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// As people write it: `[tcp:|udp:][ADDRESS:]HOST:GUEST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    pub protocol: Protocol,
    /// Of this machine: who may come in.
    pub address: Ipv4Addr,
    /// Of this machine; 0 is any free one.
    pub host: u16,
    /// Of the router.
    pub guest: u16,
}

impl Forward {
    /// One that only this machine sees.
    pub fn local(protocol: Protocol, host: u16, guest: u16) -> Self {
        Self { protocol, address: Ipv4Addr::LOCALHOST, host, guest }
    }

    /// # Errors
    /// What is wrong, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (protocol, rest) = match text.split_once(':') {
            Some(("tcp", rest)) => (Protocol::Tcp, rest),
            Some(("udp", rest)) => (Protocol::Udp, rest),
            _ => (Protocol::Tcp, text),
        };
        let parts: Vec<&str> = rest.split(':').collect();
        let (address, host, guest) = match parts[..] {
            [host, guest] => (Ipv4Addr::LOCALHOST, host, guest),
            [address, host, guest] => {
                let address = address.parse();
                (address.map_err(|_| format!("{} is no IPv4 address", parts[0]))?, host, guest)
            }
            _ => return Err("it should be HOST:GUEST, as in 8080:80 or udp:5353:53".to_owned()),
        };
        let port = |text: &str, low: u16| match text.parse() {
            Ok(port) if port >= low => Ok(port),
            _ => Err(format!("{text:?} is no port: one is a number from {low} to 65535")),
        };
        Ok(Self { protocol, address, host: port(host, 0)?, guest: port(guest, 1)? })
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, address, host, guest } = self;
        write!(f, "{protocol}:{address}:{host}:{guest}")
    }
}

/// One whose port of this machine nobody else can have now.
pub struct Held {
    /// Its port is no longer 0.
    pub forward: Forward,
    pub socket: OwnedFd,
}

impl Held {
    pub fn new(forward: Forward) -> io::Result<Self> {
        let address = SocketAddr::from((forward.address, forward.host));
        let (taken, socket): (_, OwnedFd) = match forward.protocol {
            Protocol::Tcp => {
                let listener = TcpListener::bind(address)?;
                (listener.local_addr()?, listener.into())
            }
            Protocol::Udp => {
                let socket = UdpSocket::bind(address)?;
                (socket.local_addr()?, socket.into())
            }
        };
        Ok(Self { forward: Forward { host: taken.port(), ..forward }, socket })
    }
}

/// Gets the ports that somebody asks for, or says that it cannot; then those of the configuration, or
/// free ones in their place. What is asked for counts, where the configuration has another port for
/// the same one of the router.
pub fn hold(asked: &[Forward], configured: &[Forward]) -> Result<Vec<Held>, Failure> {
    let mut held = Vec::new();
    for forward in asked {
        held.push(Held::new(*forward).map_err(|error| {
            let Forward { address, host, guest, .. } = forward;
            Failure::refused(format!("cannot forward {address}:{host}: {error}"))
                .hint(format!("--forward 0:{guest} takes a free port"))
        })?);
    }
    let leads = |forward: &Forward| (forward.protocol, forward.guest);
    for forward in configured {
        if asked.iter().any(|other| leads(other) == leads(forward)) {
            continue;
        }
        let instead = |error: io::Error| {
            let Forward { protocol, host, .. } = forward;
            say(format_args!(
                "port {host} ({protocol}) cannot be had, a free one is taken: {error}"
            ));
            Held::new(Forward { host: 0, ..*forward })
        };
        held.push(Held::new(*forward).or_else(instead).map_err(Failure::refused)?);
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forward_is_two_ports_and_what_else_is_said() {
        let any = Ipv4Addr::UNSPECIFIED;
        for (text, expected) in [
            ("8080:80", Ok(Forward::local(Protocol::Tcp, 8080, 80))),
            ("tcp:8080:80", Ok(Forward::local(Protocol::Tcp, 8080, 80))),
            ("udp:5353:53", Ok(Forward::local(Protocol::Udp, 5353, 53))),
            ("0:80", Ok(Forward::local(Protocol::Tcp, 0, 80))),
            ("0.0.0.0:1:2", Ok(Forward { address: any, ..Forward::local(Protocol::Tcp, 1, 2) })),
            (
                "udp:0.0.0.0:1:2",
                Ok(Forward { address: any, ..Forward::local(Protocol::Udp, 1, 2) }),
            ),
            ("80", Err("it should be HOST:GUEST, as in 8080:80 or udp:5353:53")),
            ("udp:53", Err("it should be HOST:GUEST, as in 8080:80 or udp:5353:53")),
            ("sctp:1:2", Err("sctp is no IPv4 address")),
            ("80:", Err("\"\" is no port: one is a number from 1 to 65535")),
            ("80:0", Err("\"0\" is no port: one is a number from 1 to 65535")),
            ("65536:80", Err("\"65536\" is no port: one is a number from 0 to 65535")),
        ] {
            let found = Forward::parse(text);
            assert_eq!(found, expected.map_err(str::to_owned), "reading {text:?}");
            if let Ok(forward) = found {
                assert_eq!(Forward::parse(&forward.to_string()), Ok(forward));
            }
        }
    }

    #[test]
    fn a_port_that_is_taken_is_an_error_where_it_was_asked_for_and_another_one_where_it_was_not() {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let other = Held::new(Forward::local(protocol, 0, 1)).expect("there is a free port");
            let taken = Forward { guest: 53, ..other.forward };
            let failure = hold(&[taken], &[]).err().expect("nobody can have it");
            assert_eq!(failure.hint.as_deref(), Some("--forward 0:53 takes a free port"));
            let held = hold(&[], &[taken]).expect("there is another free port");
            assert!(![0, taken.host].contains(&held[0].forward.host));
            assert_eq!(held[0].forward.guest, 53);
            // What is asked for comes in the place of what is configured.
            let free = Forward::local(protocol, 0, 53);
            assert_eq!(hold(&[free], &[taken]).expect("there is a free port").len(), 1);
        }
    }
}
