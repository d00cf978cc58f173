//! Addresses of hosts, without the C library's resolver, which would take 24 kB of `ward`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use model::dns::{self, ADDRESS_4, ADDRESS_6, MESSAGE_BYTES_MAX, PORT};
use model::limits::ADDRESS_FILE_BYTES_MAX;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::clock;
use crate::files;
use crate::log::ship::stream::socket;

/// How long one name server has, each time it is asked.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// How often each is asked.
const ROUNDS: usize = 2;

/// The addresses of a host: what it says itself, what `/etc/hosts` says, or else a name server.
pub fn addresses(host: &str) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let found = dns::in_hosts(&text("/etc/hosts"), host);
    if !found.is_empty() {
        return Ok(found);
    }
    let text = text("/etc/resolv.conf");
    let (mut servers, domain) = dns::servers(&text);
    if servers.is_empty() {
        servers.push(Ipv4Addr::LOCALHOST.into());
    }
    let long = domain.map(|domain| format!("{host}.{domain}"));
    for host in [Some(host), long.as_deref()].into_iter().flatten() {
        // That one knows nothing, or refuses to answer, is no reason not to ask the next.
        let tries = (0..ROUNDS).flat_map(|_| &servers).map(|server| ask(*server, host));
        if let Some(found) = tries.flatten().find(|found| !found.is_empty()) {
            return Ok(found);
        }
    }
    Err(io::Error::other(format!("nobody knows the address of {host}")))
}

/// A file of addresses, as far as it goes; empty where there is none.
pub fn text(path: &str) -> String {
    let bytes = files::read_up_to(Path::new(path), ADDRESS_FILE_BYTES_MAX).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Asks one name server for addresses of both kinds.
fn ask(server: IpAddr, host: &str) -> io::Result<Vec<IpAddr>> {
    let server = SocketAddr::new(server, PORT);
    let socket = socket(&server, SocketType::DGRAM, SocketFlags::empty())?;
    rustix::net::connect(&socket, &server)?;
    let mut number = [0; 2];
    rustix::rand::getrandom(&mut number, rustix::rand::GetRandomFlags::empty())?;
    let question = |kind| {
        dns::question(u16::from_ne_bytes(number) ^ kind, host, kind)
            .ok_or(io::ErrorKind::InvalidInput)
    };
    let mut open = vec![question(ADDRESS_4)?, question(ADDRESS_6)?];
    for question in &open {
        rustix::net::send(&socket, question, SendFlags::NOSIGNAL)?;
    }
    let (deadline, mut found) = (clock::now() + ANSWER_MAX, Vec::new());
    while !open.is_empty() {
        let left = deadline.since(clock::now());
        let limit = Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos() as _ };
        if left.is_zero() || poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&limit))? == 0 {
            // Some servers never answer one of the two.
            return if found.is_empty() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(found) };
        }
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        let (count, _) = rustix::net::recv(&socket, &mut bytes, RecvFlags::empty())?;
        let asked = |question: &Vec<u8>| !dns::answer(question, &bytes[..count], &mut found);
        open.retain(asked);
    }
    found.sort();
    Ok(found)
}
