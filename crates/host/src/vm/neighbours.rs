//! The neighbours of a virtual router, from the inside of their namespaces: providers who give
//! addresses and names, a client at home, and who brings visitors from this machine to the router.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use cli::Failure;
use os::socket::Connection;
use os::sys::tap;

use super::forward::Forward;
use super::porter;

/// The word behind `doorward vm` that makes a process the neighbours.
pub const COMMAND: &str = "neighbours";
/// What comes with each of the sockets where visitors come in.
pub const DOOR: &[u8] = b"door";
/// What goes back with the router's ends of the cables.
const CARDS: &[u8] = b"cards";

/// The namespaces with a cable to the router, in the order of its cards, and the cable's name there.
const CABLES: [(&str, &str); super::networks::CARDS] =
    [("home", "router"), ("provider", "cable"), ("provider2", "cable")];

/// `$1`: the address of the one who visits the router.
///
/// What is at home hangs on a bridge: the card of the router, and the client, who has no address
/// yet. Either provider is a way to those who answer everywhere: 1.1.1.1, and 9.9.9.9, who knows names,
/// too. Leases and logs lie in `/run`, which is a new one.
const MAKE: &str = r#"
set -eu
mount -t tmpfs -o mode=0755 run /run
for name in home client provider provider2; do
	ip netns add $name
	ip -netns $name link set lo up
done
ip -netns home tuntap add router mode tap
ip -netns home link add cable type bridge
ip -netns home link add client type veth peer name cable netns client
for port in router client; do ip -netns home link set $port master cable up; done
ip -netns home address add "$1/24" dev cable
ip -netns home link set cable up
ip -netns client link set cable up
serve() {
	ip -netns $1 tuntap add cable mode tap
	ip -netns $1 address add $2.1/24 dev cable
	for known in 1.1.1.1 9.9.9.9; do ip -netns $1 address add $known/32 dev cable; done
	ip -netns $1 link set cable up
	ip netns exec $1 dnsmasq --user= --group= --pid-file= --conf-file=/dev/null \
		--log-facility=/run/$1.log --no-resolv --no-hosts --no-ping --interface=cable --bind-interfaces \
		--host-record=www.example.net,$2.1 --host-record=example.org,$2.1 \
		--dhcp-range=$2.50,$2.59,1h --dhcp-leasefile=/run/$1.leases
}
serve provider 198.51.100
serve provider2 203.0.113
"#;

/// The address of this machine beside that of a router.
pub fn address_beside(router: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, last] = router.octets();
    Ipv4Addr::new(a, b, c, if last == 254 { 253 } else { 254 })
}

/// Makes them, and lives until the one who started it is gone. Standard input is the way to it; the
/// ports of this machine that lead to the router come in there.
pub fn live(router: Ipv4Addr, doors: &[Forward]) -> Result<(), Failure> {
    let refused = |error: io::Error| Failure::refused(format!("cannot make networks: {error}"));
    let leash = io::stdin().as_fd().try_clone_to_owned().map_err(refused)?;
    let leash = Connection::from(leash);
    let mut sockets = Vec::new();
    for _ in doors {
        let (_, mut socket) = leash.receive_descriptors(&mut [0; 16]).map_err(refused)?;
        sockets.push(socket.pop().ok_or_else(|| {
            Failure::usage(format!("`doorward vm {COMMAND}` is for doorward itself"))
        })?);
    }
    tap::usable()
        .map_err(|error| Failure::refused(format!("/dev/net/tun cannot be used: {error}")))?;
    make(router)?;
    let cards: Result<Vec<OwnedFd>, io::Error> =
        CABLES.iter().map(|(network, name)| card(network, name)).collect();
    let cards = cards.map_err(|error| {
        Failure::refused(format!("cannot make a network card (/dev/net/tun): {error}"))
    })?;
    let cards: Vec<_> = cards.iter().map(AsFd::as_fd).collect();
    enter("home").map_err(refused)?;
    for (door, socket) in doors.iter().zip(sockets) {
        porter::open(door.protocol, socket, SocketAddr::from((router, door.guest)));
    }
    leash.send_descriptors(CARDS, &cards).map_err(refused)?;
    // Nothing more is said. The end of this process is that of all in its namespace.
    let _ = leash.receive(&mut [0; 16]);
    Ok(())
}

fn make(router: Ipv4Addr) -> Result<(), Failure> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", MAKE, "networks"]).arg(address_beside(router).to_string());
    let output = shell.stdin(Stdio::null()).output().map_err(Failure::refused)?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Failure::refused(String::from_utf8_lossy(&output.stderr).trim())),
    }
}

fn enter(network: &str) -> io::Result<()> {
    os::namespace::enter_network(&Path::new("/run/netns").join(network))
}

/// The router's end of the cable into a network.
fn card(network: &str, name: &str) -> io::Result<OwnedFd> {
    enter(network)?;
    tap::take(name)
}
