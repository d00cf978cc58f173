//! The router of examples/configuration.nix, booted in namespaces: its services do what they
//! are for, with the programs of its own closure.

use std::fs;
use std::time::Duration;

use e2e::documented::holds;
use e2e::generation::Generation;
use e2e::json::Json;
use e2e::nix::{built, sources};
use e2e::{Folder, stdout, wait_for};

const LIMIT: Duration = Duration::from_secs(60);

/// The example as it is. Who is not root here has one user only, so there nobody can be become.
fn router() -> (Folder, String) {
    let folder = Folder::new("router");
    let example = sources().join("examples/configuration.nix").display().to_string();
    let lone = match rustix::process::geteuid().is_root() {
        true => "{ }",
        false => {
            "{
              services.dns = lib.mkForce (svc.dnsmasq.build {
                interface = config.services.int; domain = \"lan\"; user = \"root\";
                ranges = [ \"192.168.7.100,192.168.7.199,12h\" ];
                hosts.router.v4 = \"192.168.7.1\"; resolvconf = config.services.wan;
              });
              services.ntp = lib.mkForce (svc.oneshot.build { name = \"ntp\"; });
            }"
        }
    };
    let configuration = folder.write(
        "c.nix",
        format!(
            "{{ config, lib, ... }}: let svc = config.system.service; in {{
               imports = [ {example} {lone} ];
               logging = {{ files = 3; fileSize = 50000; }};
               services.photos = svc.mount.build {{ mountpoint = \"/mnt/photos\"; fstype = \"tmpfs\"; options = [ \"size=1m\" ]; }};
               services.elsewhere = svc.network.route.build {{
                 target = \"192.0.2.0/24\"; via = \"$(output ${{config.services.uplink}} router)\";
                 dependencies = [ config.services.uplink ];
               }};
             }}"
        ),
    );
    let paths = built(&configuration, &["-A", "outputs.systemConfiguration"]);
    (folder, paths.into_iter().next().expect("one path"))
}

#[test]
fn the_example_is_a_router() {
    let (_folder, path) = router();
    let router = Generation::boot(&path);

    // All of `default`, also what only the attribute's name says.
    for service in
        ["dnsmasq", "ssh", "ntp", "syslog", "firewall", "dhcp-client-eth1", "route-192.0.2.0-24"]
    {
        router.wait_until_up(service);
    }
    let up = |name: &str| {
        router.ask(&["s6-rc", "-a", "list"]).is_some_and(|l| l.lines().any(|l| l == name))
    };
    wait_for("everything", LIMIT, || e2e::vm::all_is_up(&router.ask(&["s6-rc", "-da", "list"])?));
    early_boot_has_been_here(&router, &path);
    assert_eq!(router.ask(&["s6-rc-db", "atomics", "dns"]).as_deref(), Some("dnsmasq\n"));
    assert_eq!(router.ask(&["cat", "/proc/sys/kernel/hostname"]).as_deref(), Some("router\n"));
    assert!(router.ask(&["mount"]).expect("mounts").contains("on /mnt/photos type tmpfs"));

    // Its own address is from the provider, and so are the way out and the names.
    let outputs = |name: &str| {
        let path = router.file(&format!("/run/services/outputs/dhcp-client-eth1/{name}"));
        fs::read_to_string(path).unwrap_or_default()
    };
    assert!(outputs("address").starts_with("198.51.100.5"), "{}", outputs("address"));
    assert_eq!(
        (outputs("ifname").as_str(), outputs("router").as_str()),
        ("eth1\n", "198.51.100.1\n")
    );
    let routes = router.ask(&["ip", "route"]).expect("routes");
    assert!(routes.contains("default via 198.51.100.1 dev eth1"), "{routes}");
    assert!(routes.contains("192.0.2.0/24 via 198.51.100.1 dev eth1"), "{routes}");

    // A machine at home gets an address and the way out.
    let event = "case $1 in bound) echo $ip $router $dns; ip address add $ip/24 dev cable; ip route add default via $router;; esac";
    let script = std::env::temp_dir().join(format!("doorward-event-{}", std::process::id()));
    fs::write(&script, format!("#!/bin/sh\n{event}\n")).expect("a file can be written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&script, mode).expect("its mode can be set");
    let words = [
        "busybox",
        "udhcpc",
        "-f",
        "-q",
        "-n",
        "-i",
        "cable",
        "-s",
        script.to_str().expect("text"),
    ];
    let lease = stdout(&mut router.beside("home", &words));
    let _ = fs::remove_file(&script);
    assert!(
        lease.starts_with("192.168.7.1") && lease.trim().ends_with("192.168.7.1 192.168.7.1"),
        "{lease}"
    );

    // It asks for names at home and outside, and reaches what is outside, which knows only the router.
    // nslookup also asks for an IPv6 address, and fails for want of one.
    for (name, address) in [("router.lan", "192.168.7.1"), ("www.example.net", "198.51.100.1")] {
        wait_for(name, LIMIT, || {
            let words = ["busybox", "nslookup", name, "192.168.7.1"];
            let answer = router.beside("home", &words).output().expect("nsenter runs").stdout;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            let found = |label: &str| answer.contains(&format!("{label}: {address}"));
            (found("Address") || found("Address 1")).then_some(())
        });
    }
    stdout(&mut router.beside("home", &["busybox", "ping", "-c", "1", "-W", "5", "198.51.100.1"]));

    // ssh answers at home, and outside there is nobody.
    let greeting = |network: &str, address: &str| {
        let line = format!("busybox nc -w 3 {address} 22 </dev/null | head -c 16");
        stdout(&mut router.beside(network, &["sh", "-c", &line]))
    };
    assert_eq!(greeting("home", "192.168.7.1"), "SSH-2.0-dropbear");
    assert_eq!(greeting("provider", outputs("address").trim()), "");

    // What goes down leaves nothing behind, and the other uplink takes over.
    assert!(
        router.ask(&["s6-rc", "-d", "change", "dhcp-client-eth1"]).is_some(),
        "{}",
        router.log()
    );
    assert_eq!(outputs("address"), "");
    assert!(!router.ask(&["ip", "route"]).expect("routes").contains("eth1"));
    wait_for("the other uplink", LIMIT, || {
        let routes = router.ask(&["ip", "route"])?;
        routes.contains("0.0.0.0/1 via 203.0.113.1 dev eth2").then_some(())
    });
    assert!(!up("route-192.0.2.0-24") && up("dnsmasq"), "names at home stay");
    assert!(router.ask(&["s6-rc", "-d", "change", "firewall"]).is_some(), "{}", router.log());
    assert!(!up("ssh") && !up("forwarding"));
    assert_eq!(router.ask(&["cat", "/proc/sys/net/ipv4/ip_forward"]).as_deref(), Some("0\n"));
    assert!(router.ask(&["s6-rc", "-u", "change", "default"]).is_some(), "{}", router.log());
    assert!(up("ssh") && !up("route-192.0.2.0-24"), "one uplink at a time");

    assert_eq!(router.end(), Some(0));
}

/// What the first `ward` did before there was a service.
fn early_boot_has_been_here(router: &Generation, path: &str) {
    let current = router.ask(&["readlink", "/run/current-system"]).expect("a link");
    assert_eq!(current.trim_end(), path);
    let mounts = router.ask(&["cat", "/proc/mounts"]).expect("mounts");
    for mount in ["none /proc proc rw,nosuid,nodev,noexec", "none /tmp tmpfs rw,nosuid,nodev"] {
        assert!(mounts.contains(mount), "{mount}:\n{mounts}");
    }
    let modes = router.ask(&["stat", "-c", "%a %n", "/tmp", "/root", "/run/var/empty"]);
    assert_eq!(modes.as_deref(), Some("1777 /tmp\n700 /root\n755 /run/var/empty\n"));
    assert_eq!(router.ask(&["readlink", "/var"]).as_deref(), Some("/run/var\n"));

    // There is no flash here. That is said, in the log too, and all is up.
    let said = "cannot mount mtd:persist at /persist";
    assert!(router.console().contains(said), "{}", router.console());
    assert!(router.log().contains(said), "{}", router.log());

    // How much is kept of the log is known also to a ward that has started itself anew.
    let kept = "ward logger -d /run/uncaught-logs -n 3 -s 50000 /run/service/.s6-svscan/init";
    let running = || {
        let list = router.ask(&["ps", "-o", "pid,args"])?;
        let line = list.lines().find(|line| line.contains(kept))?;
        line.split_whitespace().next().map(str::to_owned)
    };
    let logger = running().expect("the logger runs");
    assert!(router.ask(&["ward", "reexec", "--fault"]).is_some(), "{}", router.log());
    assert!(router.ask(&["kill", &logger]).is_some());
    wait_for("another logger", LIMIT, || running().filter(|now| *now != logger));

    let report = router.ask(&["ward", "phases"]).expect("it was noted");
    assert!(report.starts_with("up ") && report.contains("early boot"), "{report}");
    let phases = Json::parse(&router.ask(&["ward", "phases", "--json"]).expect("it was noted"));
    assert!(phases.items().len() >= 3, "{phases:?}");
    phases.items().iter().for_each(|one| holds("`ward phases --json`", one));
}
