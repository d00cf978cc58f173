//! Real networks for tests that are alone: two cables, with a provider at the other end of each, in
//! namespaces.

use std::process::Command;

/// Two cables: `a0` to provider `a`, by which everything goes; `b0` to provider
/// `b`. 9.9.9.9 and 2001:db8:9::9 are at both.
pub const NETWORKS: &str = "
set -u
mount -t tmpfs run /run
for p in a b; do
	case $p in a) n=1;; b) n=2;; esac
	ip netns add $p
	ip link add ${p}0 type veth peer name cable netns $p
	ip address add 10.$n.0.1/24 dev ${p}0
	ip address add 10.$n.0.77/24 dev ${p}0
	ip -6 address add fd00:$n::1/64 dev ${p}0 nodad
	ip link set ${p}0 up
	ip -netns $p address add 10.$n.0.2/24 dev cable
	ip -netns $p -6 address add fd00:$n::2/64 dev cable nodad
	ip -netns $p link set cable up
	ip -netns $p link set lo up
	ip -netns $p address add 9.9.9.9/32 dev lo
	ip -netns $p -6 address add 2001:db8:9::9/128 dev lo nodad
	ip route add default via 10.$n.0.2 dev ${p}0 metric $n
	ip -6 route add default via fd00:$n::2 dev ${p}0 metric $n
done
echo 'nameserver 9.9.9.9' > /run/resolv.conf
mount --bind /run/resolv.conf /etc/resolv.conf
";

/// Runs a program that has to succeed.
pub fn run(words: &str) {
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().expect("a program"));
    let output = command.args(words).output().expect("it can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
