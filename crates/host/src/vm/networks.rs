//! The networks around a virtual router: three cards, and what is at the other end of each.

use std::fs;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use cli::Failure;
use os::socket::{self, Connection};
use os::sys::tied;

use super::forward::{Forward, Held, Protocol};
use super::neighbours;
use super::porter;

/// The cards of a router: home and two uplinks.
pub const CARDS: usize = 3;

/// What is around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Neighbours with network namespaces of their own.
    Real,
    /// QEMU's own networks: no privilege is needed, and less can be tried.
    User,
}

pub enum Networks {
    Real {
        neighbours: Neighbours,
        cards: Vec<OwnedFd>,
    },
    /// What is forwarded by QEMU.
    User {
        router: Ipv4Addr,
        forwards: Vec<Forward>,
    },
}

impl Networks {
    /// Makes them around a router that has this address at home, to which the ports that are held
    /// lead. What is to be said to the user about the choice comes with it.
    pub fn new(
        kind: Option<Kind>,
        router: Ipv4Addr,
        held: Vec<Held>,
    ) -> Result<(Self, Option<String>), Failure> {
        if kind != Some(Kind::User) {
            match Neighbours::start(router, &held) {
                Ok((neighbours, cards)) => return Ok((Self::Real { neighbours, cards }, None)),
                Err(why) if kind == Some(Kind::Real) => {
                    return Err(Failure::refused(format!("cannot make networks: {why}"))
                        .hint("--network user takes those of QEMU, which need no privilege"));
                }
                Err(why) => {
                    let notice = format!("networks are QEMU's, where less can be tried: {why}");
                    return Ok((Self::user(router, held)?, Some(notice)));
                }
            }
        }
        Ok((Self::user(router, held)?, None))
    }

    /// QEMU opens ports itself and can be lent none: it gets others, to which those that are held lead.
    fn user(router: Ipv4Addr, held: Vec<Held>) -> Result<Self, Failure> {
        let other =
            |held: &Held| Held::new(Forward::local(held.forward.protocol, 0, held.forward.guest));
        let others: Result<Vec<Held>, io::Error> = held.iter().map(other).collect();
        let forwards: Vec<Forward> =
            others.map_err(Failure::refused)?.iter().map(|other| other.forward).collect();
        for (Held { forward, socket }, other) in held.into_iter().zip(&forwards) {
            let to = SocketAddr::from((Ipv4Addr::LOCALHOST, other.host));
            porter::open(forward.protocol, socket, to);
        }
        Ok(Self::User { router, forwards })
    }

    /// What QEMU is lent.
    pub fn cards(&self) -> &[OwnedFd] {
        match self {
            Self::Real { cards, .. } => cards,
            Self::User { .. } => &[],
        }
    }

    /// The process whose namespaces the neighbours live in.
    pub fn neighbours(&self) -> Option<u32> {
        match self {
            Self::Real { neighbours, .. } => neighbours.process(),
            Self::User { .. } => None,
        }
    }

    /// Adds the cards to the arguments of QEMU, in their order.
    pub fn arguments(&self, command: &mut Command) {
        for number in 0..CARDS {
            let backend = match self {
                Self::Real { cards, .. } => {
                    format!("tap,id=net{number},fd={}", cards[number].as_raw_fd())
                }
                Self::User { router, forwards } => user_card(number, *router, forwards),
            };
            command.arg("-netdev").arg(backend);
            command.arg("-device").arg(format!("virtio-net-pci,netdev=net{number},romfile="));
        }
    }
}

/// At home this machine is a neighbour that only visits; the uplinks lead to where it may go.
fn user_card(number: usize, router: Ipv4Addr, forwards: &[Forward]) -> String {
    if number > 0 {
        return format!("user,id=net{number},net=10.0.{}.0/24", number + 1);
    }
    let [a, b, c, _] = router.octets();
    let neighbour = neighbours::address_beside(router);
    // QEMU lets nobody out of a restricted network who answers to a datagram.
    let answers = forwards.iter().any(|forward| forward.protocol == Protocol::Udp);
    let restrict = if answers { "off" } else { "on" };
    let mut words =
        format!("user,id=net0,restrict={restrict},net={a}.{b}.{c}.0/24,host={neighbour}");
    for Forward { protocol, address, host, guest } in forwards {
        words += &format!(",hostfwd={protocol}:{address}:{host}-{router}:{guest}");
    }
    words
}

/// The neighbours' end: a process in namespaces of its own, and everything that it has started.
/// They go when this is dropped, and when this program is killed.
pub struct Neighbours {
    outer: Child,
    /// The other end goes when this one does.
    _leash: Connection,
}

impl Neighbours {
    /// Starts them, and gives the router's ends of their cables; or says why that cannot be.
    fn start(router: Ipv4Addr, held: &[Held]) -> Result<(Self, Vec<OwnedFd>), String> {
        let text = |error: io::Error| error.to_string();
        let (leash, theirs) = Connection::pair().map_err(text)?;
        let program = std::env::current_exe().map_err(text)?;
        let mut command = Command::new("unshare");
        if socket::own_user() != 0 {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.arg(program).args(["vm", neighbours::COMMAND]);
        command.arg(router.to_string()).args(held.iter().map(|held| held.forward.to_string()));
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::piped());
        // An interrupt from the keyboard is not for them.
        command.process_group(0);
        let outer = tied::spawn(command, &[]).map_err(|error| format!("unshare: {error}"))?;
        let mut neighbours = Self { outer, _leash: leash };
        let leash = &neighbours._leash;
        for held in held {
            // Where it has ended already, what follows says why.
            let _ = leash.send_descriptors(neighbours::DOOR, &[held.socket.as_fd()]);
        }
        match leash.receive_descriptors(&mut [0; 16]) {
            Ok((1.., cards)) if cards.len() == CARDS => Ok((neighbours, cards)),
            _ => Err(neighbours.said()),
        }
    }

    /// Why there are none, as far as it was said.
    fn said(&mut self) -> String {
        let mut said = String::new();
        if let Some(mut stderr) = self.outer.stderr.take() {
            let _ = stderr.read_to_string(&mut said);
        }
        let said = said.trim().trim_start_matches("doorward: ").replace('\n', "; ");
        if said.is_empty() { "unshare ended without a word".into() } else { said }
    }

    fn process(&self) -> Option<u32> {
        let outer = self.outer.id();
        let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        let _ = self.outer.kill();
        let _ = self.outer.wait();
    }
}
