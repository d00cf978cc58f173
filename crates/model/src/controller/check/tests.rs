//! What is read, what is refused, and with which hint.

use alloc::string::ToString;

use super::*;

fn one(text: &str) -> Result<HealthCheck, Vec<Wrong>> {
    parse(text, &[("wan", "")])
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_check_is_read_whole() {
    let way = |interface: &str, source: &str| Way {
        interface: Some(interface.into()).filter(|_| !interface.is_empty()),
        source: source.parse().ok(),
    };
    let host = |host: &str| host.into();
    for (text, method, expected) in [
        ("icmp 9.9.9.9", Method::Icmp { host: host("9.9.9.9") }, way("", "")),
        ("icmp fe80::1 interface ppp0", Method::Icmp { host: host("fe80::1") }, way("ppp0", "")),
        (
            "tcp example.org 443  source 10.0.0.1 interface wan",
            Method::Tcp { host: host("example.org"), port: 443 },
            way("wan", "10.0.0.1"),
        ),
        (
            "dns example.org",
            Method::Dns { name: host("example.org"), kind: dns::ADDRESS_4, server: None },
            way("", ""),
        ),
        (
            "dns example.org server 9.9.9.9 type AAAA",
            Method::Dns {
                name: host("example.org"),
                kind: dns::ADDRESS_6,
                server: "9.9.9.9:53".parse().ok(),
            },
            way("", ""),
        ),
        (
            "dns a.lan server [fd00::1]:5353",
            Method::Dns {
                name: host("a.lan"),
                kind: dns::ADDRESS_4,
                server: "[fd00::1]:5353".parse().ok(),
            },
            way("", ""),
        ),
        (
            "http http://[fd00::1]:8080/up?x=1 status 204",
            Method::Http {
                host: host("fd00::1"),
                port: 8080,
                path: host("/up?x=1"),
                status: Some(204),
            },
            way("", ""),
        ),
        (
            "http http://example.org",
            Method::Http { host: host("example.org"), port: 80, path: host("/"), status: None },
            way("", ""),
        ),
        (
            "command sh -c \"exit 1\" # no",
            Method::Command(["sh", "-c", "exit 1"].map(|it| it.as_bytes().into()).to_vec()),
            way("", ""),
        ),
    ] {
        let expected = Check { text: text.into(), method, way: expected };
        assert_eq!(Check::parse(text), Ok(expected));
    }
}

#[test]
fn a_bad_check_says_what_may_help() {
    for (text, expected) in [
        ("", "it needs a method: icmp, tcp, dns, http, command"),
        ("imcp 9.9.9.9", "did you mean `icmp`"),
        ("smoke x", "there are icmp, tcp"),
        ("icmp", "write for example `icmp 9.9.9.9`"),
        ("icmp 9.9.9", "no name and no address"),
        ("icmp a..b", "no name and no address"),
        ("icmp a/b", "no name and no address"),
        ("icmp @wan", "names no output"),
        ("tcp @wan/../x 1", "names no output"),
        ("dns @wan/router", "asks for a name"),
        ("icmp 9.9.9.9 interfaec wan", "did you mean `interface`"),
        ("icmp 9.9.9.9 server 1.1.1.1", "it takes interface, source"),
        ("icmp 9.9.9.9 interface", "nothing stands behind interface"),
        ("icmp 9.9.9.9 interface a interface b", "said twice"),
        ("icmp 9.9.9.9 interface 0123456789abcdef", "no name of an interface"),
        ("icmp 9.9.9.9 source wan", "no address"),
        ("icmp 9.9.9.9 source fd00::1", "another kind"),
        ("dns a server 9.9.9.9 source fd00::1", "another kind"),
        ("tcp 9.9.9.9", "needs a port"),
        ("tcp 9.9.9.9 http", "no port"),
        ("tcp 9.9.9.9 0", "no port"),
        ("dns a server b", "not `b`"),
        ("dns a type MX", "type is A or AAAA"),
        ("http example.org", "is no http://"),
        ("http https://example.org", "there is no TLS here"),
        ("http syslog+tcp://x", "is no http://"),
        ("http http://x/ status 20", "no status"),
        ("command", "write for example"),
        ("command \"", "never ends"),
        ("command \"\" a", "is empty"),
    ] {
        let error = Check::parse(text).expect_err(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn what_is_left_unsaid_fits_what_is_said() {
    let check = one("kind health-check\ncheck icmp 9.9.9.9").unwrap();
    assert_eq!((&*check.service, check.manner), ("wan", Manner::default()));
    assert!(check.manner.detection_max() <= Duration::from_secs(8));
    let check = one("interval 1000\ncheck icmp 9.9.9.9").unwrap().manner;
    assert_eq!(
        (check.timeout, check.retry, check.jitter),
        (millis(1000), millis(1000), millis(100))
    );
    let check = one("check command true\ninterval 60000\nwait 900000").unwrap().manner;
    assert_eq!(
        (check.timeout, check.retry, check.jitter),
        (millis(5000), millis(5000), millis(6000))
    );
    assert_eq!(check.wait_max, check.wait);
    let check = one("timeout 9000\ninterval 2000\ncheck icmp 9.9.9.9").unwrap().manner;
    assert_eq!((check.timeout, check.retry), (millis(9000), millis(2000)));
}

#[test]
fn both_files_hold_settings() {
    let own = "kind health-check\nthreshold 5\non-sick down\ncheck icmp 9.9.9.9";
    let its =
        "check tcp 1.1.1.1 443\nquorum all\nrise 1\ngrace 0\ntries 1\njitter 0\nretry 100\ncalm 1";
    let check = parse(own, &[("wan", its)]).unwrap();
    let Manner { threshold, rise, quorum, tries, .. } = check.manner;
    assert_eq!((threshold, rise, quorum, tries), (5, 1, 2, 1));
    assert_eq!((check.on_sick, check.checks.len()), (Some(OnSick::Down), 2));
}

#[test]
fn all_mistakes_are_told_with_their_lines() {
    let own = "kind health-check\nintervall 5\ninterval 5\ncheck icmp\nquorum 0\non-sick cry\n";
    let its = "\nthreshold 1\nthreshold 1\ntries 99\n";
    let found = parse(own, &[("wan", its)]).unwrap_err();
    let found: Vec<_> = found.iter().map(|it| (it.place, it.line, it.to_string())).collect();
    let expected = [
        (Place::Own, 4, "nobody is asked"),
        (Place::Own, 2, "did you mean `interval`?"),
        (Place::Own, 3, "at least 100 ms"),
        (Place::Own, 5, "at least 1, or all"),
        (Place::Own, 6, "takes restart or down"),
        (Place::Controlled(0), 3, "threshold is said twice"),
        (Place::Controlled(0), 4, "tries is from 1 to"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((place, line, what), expected) in found.iter().zip(expected) {
        assert_eq!((*place, *line), (expected.0, expected.1), "{what}");
        assert!(what.contains(expected.2), "{what}");
    }
}

#[test]
fn what_can_never_be_is_refused() {
    let check = "check icmp 9.9.9.9\n";
    for (text, expected) in [
        ("interval 5000".to_string(), "it asks nothing"),
        (check.repeat(CHECKS_MAX + 1), "too many"),
        (alloc::format!("{check}quorum 2"), "2 of 1 checks can never succeed"),
        (alloc::format!("{check}wait 5000\nwait-max 1000"), "wait-max is shorter"),
    ] {
        let found = one(&text).unwrap_err();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].what.contains(expected), "{found:?}");
    }
    assert!(one(&check.repeat(CHECKS_MAX)).is_ok());
    assert!(parse(check, &[]).unwrap_err()[0].what.contains("it checks no service"));
    assert!(parse(check, &[("a", ""), ("b", "")]).unwrap_err()[0].what.contains("one service"));
}
