//! Sockets that go the way that a check names, and how what comes of them is told.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use model::controller::check::Way;
use model::dns;
use rustix::io::Errno;
use rustix::net::{self, SocketFlags, SocketType, ipproto};

use crate::log::ship::stream::socket;
use crate::resolver::text;
use crate::sys::probe_socket;

/// A socket that goes the way that is wanted, to that address.
pub fn connected(way: &Way, to: &SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let socket = socket(to, kind, SocketFlags::NONBLOCK)?;
    go(&socket, way)?;
    match net::connect(&socket, to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

fn go(socket: &OwnedFd, way: &Way) -> io::Result<()> {
    if let Some(interface) = &way.interface {
        probe_socket::bind_to_interface(socket.as_fd(), interface)?;
    }
    if let Some(source) = way.source {
        net::bind(socket, &SocketAddr::new(source, 0))?;
    }
    Ok(())
}

/// A socket for echoes, and whether headers come with them. One for everybody,
/// where the system has those (`icmp(7)`, `ping_group_range`), or a raw one.
pub fn echo_socket(way: &Way, peer: IpAddr) -> io::Result<(OwnedFd, bool)> {
    let is_4 = peer.is_ipv4();
    let (family, protocol) = match is_4 {
        true => (net::AddressFamily::INET, ipproto::ICMP),
        false => (net::AddressFamily::INET6, ipproto::ICMPV6),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let open = |kind| net::socket_with(family, kind, flags, Some(protocol));
    let (socket, headed) = match open(SocketType::DGRAM) {
        Ok(socket) => (socket, false),
        Err(Errno::ACCESS | Errno::PERM | Errno::PROTONOSUPPORT | Errno::PROTOTYPE) => {
            let socket = open(SocketType::RAW)?;
            probe_socket::only_echoes(socket.as_fd(), is_4)?;
            (socket, is_4)
        }
        Err(error) => return Err(error.into()),
    };
    go(&socket, way)?;
    match net::connect(&socket, &SocketAddr::new(peer, 0)) {
        Ok(()) => Ok((socket, headed)),
        Err(error) => Err(error.into()),
    }
}

/// The name servers of this device.
pub fn servers() -> Vec<SocketAddr> {
    let text = text("/etc/resolv.conf");
    let (mut servers, _) = dns::servers(&text);
    if servers.is_empty() {
        servers.push(Ipv4Addr::LOCALHOST.into());
    }
    servers.into_iter().map(|server| SocketAddr::new(server, dns::PORT)).collect()
}

pub fn question(name: &str, kind: u16) -> io::Result<Vec<u8>> {
    let number = u16::from_ne_bytes(random()?);
    Ok(dns::question(number, name, kind).ok_or(io::ErrorKind::InvalidInput)?)
}

pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes)
}

/// An error without its number.
pub fn plain(error: Errno) -> String {
    let text = io::Error::from(error).to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

pub fn span(time: Duration) -> String {
    let micros = time.as_micros();
    format!("{}.{} ms", micros / 1000, micros / 100 % 10)
}

/// RFC 1035, 4.1.1.
pub fn dns_word(code: u8) -> String {
    match code {
        1 => "that it does not understand the question".into(),
        2 => "that it failed (SERVFAIL)".into(),
        3 => "that there is no such name (NXDOMAIN)".into(),
        5 => "that it refuses (REFUSED)".into(),
        other => format!("code {other}"),
    }
}
