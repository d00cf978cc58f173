//! Each probe of health checks over real networks.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use e2e::alone::alone_after;
use e2e::applet;
use e2e::client::{Client, Said};
use e2e::providers::{NETWORKS, run};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Has this thread be in the namespace of a provider.
fn enter(provider: &str) {
    let namespace = fs::File::open(format!("/run/netns/{provider}")).expect("it was made");
    let kind = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(namespace.as_fd(), kind).expect("one can go there");
}

/// A server at a provider, and who came to it.
fn serve<S>(
    provider: &'static str,
    bind: impl FnOnce() -> S + Send + 'static,
    what: impl FnOnce(S, Sender<SocketAddr>) + Send + 'static,
) -> Receiver<SocketAddr> {
    let (ready, is_ready) = channel();
    let (sender, visitors) = channel();
    thread::spawn(move || {
        enter(provider);
        let socket = bind();
        ready.send(()).expect("the test waits");
        what(socket, sender);
    });
    is_ready.recv().expect("it begins");
    visitors
}

/// Takes connections and answers each with this text, once something was said.
fn http(provider: &'static str, port: u16, answer: &'static str) -> Receiver<SocketAddr> {
    let bind = move || TcpListener::bind((IpAddr::from([0; 16]), port)).expect("a free port");
    serve(provider, bind, move |listener, visitors| {
        while let Ok((mut stream, from)) = listener.accept() {
            let _ = visitors.send(from);
            thread::spawn(move || {
                let mut bytes = [0; 1024];
                if stream.read(&mut bytes).is_ok_and(|count| count > 0) && !answer.is_empty() {
                    let _ = stream.write_all(answer.as_bytes());
                } else {
                    thread::sleep(Duration::from_secs(60));
                }
            });
        }
    })
}

/// A name server that knows `x.test`, and says of the others what their first letters are.
fn names(provider: &'static str) -> Receiver<SocketAddr> {
    let bind = || UdpSocket::bind("9.9.9.9:53").expect("a free port");
    serve(provider, bind, move |socket, visitors| {
        let mut bytes = [0; 512];
        while let Ok((count, from)) = socket.recv_from(&mut bytes) {
            let _ = visitors.send(from);
            let mut answer = bytes[..count].to_vec();
            answer[2] |= 0x80;
            let kind = answer[count - 3];
            match &answer[13..15] {
                b"x\x04" if kind == 1 => {
                    answer[7] = 1;
                    answer.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x09\0\x04\x09\x09\x09\x09");
                }
                b"x\x04" => {}
                b"fa" => answer[3] |= 2,
                b"mu" => continue,
                b"st" => answer[0] ^= 1, // To a question that nobody asked.
                _ => answer[3] |= 3,
            }
            let _ = socket.send_to(&answer, from);
        }
    })
}

fn probe(words: &str) -> Said {
    Client::run(applet("ward").arg("probe").args(words.split_whitespace()))
}

/// The first packet of two is dropped on its way to the provider.
fn lose_every_other(provider: &str) {
    let nft = |words: &str| run(&format!("ip netns exec {provider} nft {words}"));
    nft("add table inet loss");
    nft("add chain inet loss in { type filter hook prerouting priority 0 ; }");
    nft("add rule inet loss in meta l4proto { icmp, tcp, udp } numgen inc mod 2 == 0 drop");
}

#[test]
fn each_probe_tells_what_it_was_answered() {
    if !alone_after("each_probe_tells_what_it_was_answered", NETWORKS) {
        return;
    }
    let visitors_a = http("a", 80, "HTTP/1.1 204 No Content\r\n\r\n");
    let visitors_b = http("b", 80, "HTTP/1.1 500 Oh\r\n\r\n");
    http("a", 81, "");
    http("a", 82, "SSH-2.0-what\r\n");
    names("a");
    let from = |visitors: &Receiver<SocketAddr>| {
        let one = visitors.try_iter().last().expect("somebody came");
        one.ip().to_canonical().to_string()
    };
    for (words, code, expected) in [
        ("icmp 9.9.9.9", 0, "good: icmp 9.9.9.9: 9.9.9.9 answered after "),
        ("icmp 2001:db8:9::9", 0, "2001:db8:9::9 answered after "),
        ("icmp 2001:db8:9::9 interface b0 source fd00:2::1", 0, "answered after "),
        ("icmp x.test", 0, "9.9.9.9 answered after "),
        ("icmp 9.9.9.9 interface c0", 1, "there is no interface c0"),
        ("icmp 9.9.9.9 source 10.3.0.1", 1, "no interface has the address 10.3.0.1"),
        ("-t 300 -n 3 icmp 10.1.0.99", 1, "no answer within 300 ms, asked 3 times"),
        ("icmp y.test", 1, "nobody knows the address of y.test"),
        ("-t 300 icmp mute.test", 1, "no name server answered within 300 ms"),
        ("tcp 9.9.9.9 80", 0, "connected to 9.9.9.9 after "),
        ("tcp 2001:db8:9::9 80", 0, "connected to 2001:db8:9::9 after "),
        ("tcp 9.9.9.9 99", 1, "the connection was refused by 9.9.9.9"),
        ("tcp x.test 80 interface a0", 0, "connected to 9.9.9.9 after "),
        ("dns x.test", 0, "9.9.9.9:53 said 9.9.9.9 after "),
        ("dns x.test server 9.9.9.9 interface a0", 0, "said 9.9.9.9"),
        ("dns x.test type AAAA", 1, "9.9.9.9:53 knows no such address"),
        ("dns fails.test", 1, "9.9.9.9:53 answered that it failed (SERVFAIL)"),
        ("dns y.test", 1, "that there is no such name (NXDOMAIN)"),
        ("-t 300 dns strange.test", 1, "no answer within 300 ms"),
        (
            "-t 300 dns x.test server 9.9.9.9 interface b0",
            1,
            "no answer within 300 ms, asked 5 times: connection refused",
        ),
        ("http http://9.9.9.9/", 0, "answered 204 after "),
        ("http http://x.test/up status 204", 0, "answered 204 after "),
        ("http http://9.9.9.9/ status 200", 1, "answered 204, not 200, after "),
        ("http http://9.9.9.9/ interface b0", 1, "answered 500 after "),
        ("http http://[2001:db8:9::9]/ interface b0 status 500", 0, "answered 500 after "),
        ("-t 300 http http://9.9.9.9:81/", 1, "no answer within 300 ms"),
        ("http http://9.9.9.9:82/", 1, "what answered speaks no HTTP"),
        ("command true", 0, "exited 0"),
        ("command nosuchprogram x", 1, "cannot start nosuchprogram: "),
    ] {
        // However busy this machine is, what comes is waited for.
        let patient = format!("-t 20000 {words}");
        let said = probe(if code == 0 { &patient } else { words }).expect(code);
        assert!(said.out.contains(expected), "{words}: {said:?}");
    }
    for words in ["icmp", "icmp 9.9.9", "imcp 9.9.9.9", "-t x icmp 9.9.9.9", "http https://x"] {
        probe(words).expect(100);
    }
    // The interface is really used, and so is the source.
    visitors_b.try_iter().for_each(drop);
    probe("tcp 9.9.9.9 80").expect(0);
    assert_eq!(from(&visitors_a), "10.1.0.1");
    assert_eq!(visitors_b.try_iter().count(), 0);
    probe("tcp 9.9.9.9 80 interface b0").expect(0);
    assert_eq!(from(&visitors_b), "10.2.0.1");
    assert_eq!(visitors_a.try_iter().count(), 0);
    probe("tcp 9.9.9.9 80 interface b0 source 10.2.0.77").expect(0);
    assert_eq!(from(&visitors_b), "10.2.0.77");

    // A packet that is lost is sent again, long before the system would.
    lose_every_other("a");
    for words in ["icmp 9.9.9.9", "tcp 9.9.9.9 80", "dns x.test", "http http://9.9.9.9/"] {
        let begun = Instant::now();
        for _ in 0..4 {
            probe(&format!("-t 4000 -n 20 {words}")).expect(0);
        }
        // The system itself would take more than a second for each connection.
        assert!(begun.elapsed() < Duration::from_secs(4), "{words}: {:?}", begun.elapsed());
    }
    // Sockets for everybody, where the system has them.
    if fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").is_ok() {
        probe("icmp 9.9.9.9 interface b0").expect(0);
        probe("icmp 2001:db8:9::9").expect(0);
    }
    // No way at all.
    run("ip route flush 0/0");
    let begun = Instant::now();
    let said = probe("icmp 9.9.9.9").expect(1);
    assert!(said.out.contains("unreachable"), "{said:?}");
    // Nothing is waited for, where an answer would be for 1.5 s.
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
}
