//! An uplink by PPPoE on a device in QEMU. The other end of its line, a VLAN as with most providers,
//! is a second device.

use std::time::Instant;

use e2e::vm::{self, LIMIT, Vm, WAY_IN};
use e2e::{Folder, stdout, wait_for};
use serde_json::json;

/// What either of them may become. The line is in their fourth socket.
const CONFIGURATION: &str = r#"{ config, pkgs, ... }:
let
  svc = pkgs.svc;
  line = svc.vlan.build {
    ifname = "line.7"; vid = 7;
    primary = svc.network.link.build { ifname = "eth3"; };
  };
  # Seconds until one says something again, and notices that nobody is there.
  quick = [ "pppoe-padi-timeout 1" "pppoe-padi-attempts 1" "lcp-restart 1" "lcp-echo-interval 1" ];
  provider.options = pkgs.writeText "options" "require-chap\nname provider\nms-dns 192.0.2.53\n";
  # Behind it, nobody gets to hear which packets are too large: who sends such ones waits for ever.
  provider.narrow = svc.firewall.build {
    name = "narrow";
    ruleset = ''
      table inet narrow {
        chain input {
          type filter hook input priority filter;
          iifname "ppp*" tcp flags syn tcp option maxseg size > 1452 drop
        }
      }
    '';
  };
in
rec {
  services.default = svc.bundle { name = "default"; contents = with config.services; [ int ssh ]; };

  services.wan = svc.pppoe.build {
    name = "wan"; interface = line; username = "me@isp"; password = "it's \"me\"";
    ppp-options = quick;
  };
  services.user = svc.oneshot {
    name = "user"; dependencies = [ services.wan ];
    up = "echo \"has $(cat ${services.wan}/address)\"\n";
  };
  services.firewall = svc.firewall.build { inner = [ config.services.int ]; outer = [ services.wan ]; };
  services.forwarding = svc.network.forward.build { dependencies = [ services.firewall ]; };
  services.router = svc.bundle { name = "router"; contents = with services; [ user forwarding ]; };

  # In turn with a provider at the second socket.
  services.dsl = svc.pppoe.build {
    name = "dsl"; interface = line; ifname = "ppp2"; username = "me@isp"; password = "it's \"me\"";
    ppp-options = quick; metric = 10;
  };
  services.watched = svc.health-check.build {
    service = services.dsl; interval = 1; grace = 2;
    checks = [ { icmp = { host = pkgs.liminix.outputRef services.dsl "router"; interface = "ppp2"; }; } ];
  };
  services.reserve = svc.network.dhcp.client.build {
    name = "reserve"; interface = config.hardware.networkInterfaces.wan; metric = 20;
  };
  services.turns = svc.round-robin.build {
    name = "turns"; services = [ services.watched services.reserve ]; defaultRoute = true;
    back-off = 1000; fail-back-after = 1000; dwell = 3000;
  };

  services.stranger = svc.pppoe.build {
    name = "stranger"; interface = line; ifname = "ppp1"; username = "me@isp"; password = "you";
    ppp-options = quick;
  };

  services.concentrator = svc.oneshot {
    name = "concentrator"; dependencies = [ line ];
    up = "${pkgs.pppoe}/bin/pppoe-server -I line.7 -L 100.64.0.1 -R 100.64.0.2 -O ${provider.options} "
      + "-q ${pkgs.ppp}/bin/pppd -Q ${pkgs.pppoe}/bin/pppoe\n";
  };
  services.www = svc.longrun {
    name = "www"; run = "exec httpd -f -p 192.0.2.53:80 -h ${pkgs.busybox}/bin\n";
    dependencies = [
      provider.narrow
      (svc.network.address.build { interface = "lo"; address = "192.0.2.53"; prefixLength = 32; })
    ];
  };
  services.provider = svc.bundle { name = "provider"; contents = with services; [ concentrator www ]; };
  filesystem."/etc/ppp/chap-secrets".text = "\"me@isp\" provider \"it's \\\"me\\\"\" *\n";
  boot.modules = [ "ppp_async" ];

  hardware.vm.arguments = [ "-device" "pcie-root-port,id=line" ];
}
"#;

/// Puts a cable between two devices, and waits until both have it.
fn cable(folder: &Folder, ends: [&Vm; 2]) {
    let socket = |end: usize| json!({ "type": "unix", "path": folder.join(end.to_string()) });
    for (end, vm) in ends.into_iter().enumerate() {
        let (here, there) = (socket(end), socket(1 - end));
        let line = json!({ "type": "dgram", "id": "line", "local": here, "remote": there });
        vm.order("netdev_add", line);
        let mac = format!("52:54:00:00:00:0{end}");
        let card = json!({ "driver": "virtio-net-pci", "id": "card", "bus": "line", "netdev": "line", "mac": mac });
        vm.order("device_add", card);
    }
    for vm in ends {
        vm.ask("until [ -e /sys/class/net/eth3 ]; do usleep 100000; done");
    }
}

/// Whether an uplink is ready, what others may know of it, and the way to everywhere.
fn uplink(vm: &Vm, name: &str) -> String {
    vm.ask(&format!(
        "s6-svstat -o ready /run/service/{name}; cd /run/services/outputs/{name} && grep '' *; \
         ip route | grep ^default; true"
    ))
}

/// That of one that is not ready.
const NOTHING: &str = "false\n";

/// That of one with its first session.
const SESSION: &str = "true\naddress:100.64.0.2\ndns:192.0.2.53\nifname:ppp0\n\
                       resolv.conf:nameserver 192.0.2.53\nrouter:100.64.0.1\n\
                       default dev ppp0 scope link \n";

#[test]
fn an_uplink_by_pppoe_is_ready_with_an_address_lets_everybody_out_and_comes_back() {
    let built = vm::build(&format!("{WAY_IN} ({CONFIGURATION})"), "qemu-x86_64");
    let (mut router, mut provider) = (Vm::new("pppoe", &built), Vm::new("provider", &built));
    router.option(&["--network", "real"]);
    router.start();
    provider.start();
    let folder = Folder::new("line");
    cable(&folder, [&router, &provider]);

    // Nobody is there yet: what needs it has not begun, and it is not given up.
    assert_eq!(router.ask("s6-rc-db timeout wan"), "0\n");
    router.visit("s6-rc -t 1000 -u change router").has("user: the time was over before its turn");
    assert_eq!(uplink(&router, "wan"), NOTHING);
    provider.ask("s6-rc -u change provider");
    let log = router.ask("s6-rc -u change router && ward log -s user");
    assert!(log.contains(" user has 100.64.0.2\n"), "{log}");
    assert_eq!(uplink(&router, "wan"), SESSION);
    // It will never be ready: what is waited for is that it has begun.
    router.visit("s6-rc -t 2000 -u change stranger");
    router.ask("s6-svwait -u -t 60000 /run/service/stranger");
    let vlan = provider.ask("cat /proc/net/vlan/line.7");
    assert!(vlan.contains("VID: 7") && vlan.contains("Device: eth3"), "{vlan}");

    // Somebody at home, whose own cable takes larger packets than the line.
    let client = r"ip address add 192.168.7.9/24 dev cable; ip route add default via 192.168.7.1
        busybox ping -c 1 -W 20 192.0.2.53 >&2
        printf 'GET /busybox HTTP/1.0\r\n\r\n' | busybox nc -w 20 192.0.2.53 80 | sed '1,/^\r$/d' | wc -c";
    let bytes = stdout(&mut router.beside("client", &["sh", "-c", client]));
    assert_eq!(bytes, provider.ask("wc -c </bin/busybox"));

    // Who says the wrong password is told so, and gets nothing.
    wait_for("the provider's word", LIMIT, || {
        let log = router.ask("ward log -s stranger");
        log.contains(" stranger CHAP authentication failed\n").then_some(())
    });
    assert_eq!(uplink(&router, "stranger"), "false\ndefault dev ppp0 scope link \n");
    router.ask("s6-rc -d change stranger");

    // The provider ends the session. Nobody here has to do anything.
    let pid = "s6-svstat -o pid /run/service/wan";
    let before = router.ask(pid);
    provider.ask("killall pppd");
    wait_for("another session", LIMIT, || {
        (router.ask(pid) != before && uplink(&router, "wan").starts_with("true")).then_some(())
    });

    // The line is cut, which nobody says to anybody, and mended.
    router.order("set_link", json!({ "name": "card", "up": false }));
    wait_for("the end of the session", LIMIT, || (uplink(&router, "wan") == NOTHING).then_some(()));
    router.order("set_link", json!({ "name": "card", "up": true }));
    router.ask("s6-svwait -U -t 60000 /run/service/wan && ping -c 1 -W 20 192.0.2.53");
    in_turn(&router);
}

/// The uplink as one of two: it serves, its line is cut and the other one serves, it is mended and
/// serves again.
fn in_turn(router: &Vm) {
    let serves = |member: &str, way: &str| {
        let start = Instant::now();
        loop {
            let said =
                router.ask("echo $(ward output get turns active); ip route get 192.0.2.53 || true");
            if said.starts_with(member) && said.contains(way) {
                break;
            }
            if start.elapsed() > LIMIT / 3 {
                let why = "ward why turns dsl reserve; ip address; ip route; ward log | tail -n 60";
                panic!("{member} does not serve by {way}: {said}\n{}", router.visit(why).out);
            }
        }
    };
    router.ask("s6-rc -d change wan && s6-rc -u change dsl-health turns turns-route");
    serves("dsl\n", " via 100.64.0.1 dev ppp2 ");
    router.ask("ping -c 1 -W 20 192.0.2.53");
    wait_for("a healthy uplink", LIMIT, || {
        router.ask("ward why dsl; true").contains("✓ healthy: yes").then_some(())
    });
    router.order("set_link", json!({ "name": "card", "up": false }));
    let start = Instant::now();
    serves("reserve\n", " via 198.51.100.1 dev eth1 ");
    eprintln!("pppoe: cut, until the other one serves: {:.1?}", start.elapsed());
    router.order("set_link", json!({ "name": "card", "up": true }));
    let start = Instant::now();
    serves("dsl\n", " via 100.64.0.1 dev ppp2 ");
    eprintln!("pppoe: mended, until it serves: {:.1?}", start.elapsed());
    router.ask("ping -c 1 -W 20 192.0.2.53");
    // Each has a default route of its own, for its health check.
    let start = Instant::now();
    loop {
        let routes = router.ask("ip route");
        let of = |line: &str| line.starts_with("default ") || line.contains("/1 ");
        let ways: Vec<&str> = routes.lines().filter(|line| of(line)).map(str::trim_end).collect();
        let expected = [
            "0.0.0.0/1 via 100.64.0.1 dev ppp2",
            "default dev ppp2 scope link  metric 10",
            "128.0.0.0/1 via 100.64.0.1 dev ppp2",
        ];
        if ways == expected {
            break;
        }
        if start.elapsed() > LIMIT / 3 {
            let why = router.visit("ward why turns dsl reserve; ward log -s dsl | tail -n 40").out;
            panic!("{routes}\n{why}");
        }
    }
}
