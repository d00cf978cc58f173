//! The status page of a router in QEMU whose configuration has it as the guide says: who reaches it from
//! which network, what it may, and that what it shows is what is so.

use std::fs;
use std::time::{Duration, Instant};

use e2e::browser::Browser;
use e2e::nix::{self, sources, store};
use e2e::page::{Answer, PATIENCE, answer};
use e2e::vm::{self, Vm};
use e2e::{Folder, doorward, stdout};
use pages::blocks;

/// Where the guide has it listen.
const PAGE: &str = "192.168.8.1";
/// Where the provider reaches the router.
const OUTSIDE: &str = "198.51.100.59";
/// A telephone's.
const WIDTH: u32 = 360;

/// What a router with two uplinks has beside the page. One service is not as it should be.
const CONFIGURATION: &str = r#"{ config, pkgs, ... }:
let
  svc = config.system.service;
  inherit (config.hardware) networkInterfaces;
  watched = uplink: svc.health-check.build {
    service = uplink;
    interval = 2;
    checks = [ { icmp = { host = pkgs.liminix.outputRef uplink "router"; interface = uplink; }; } ];
  };
in
{
  hostname = "seen";
  services = rec {
    lan = svc.network.address.build {
      interface = networkInterfaces.lan; address = "192.168.8.1"; prefixLength = 24;
    };
    ssh = svc.ssh.build { address = "192.168.8.1"; dependencies = [ lan ]; };
    uplink = watched (svc.network.dhcp.client.build { interface = networkInterfaces.wan; metric = 10; });
    reserve = watched (svc.network.dhcp.client.build { interface = networkInterfaces.wan2; metric = 20; });
    wan = svc.round-robin.build { name = "wan"; services = [ uplink reserve ]; };
    firewall = svc.firewall.build { inner = [ lan ]; outer = [ uplink reserve ]; };
    rules = pkgs.svc.oneshot { name = "rules"; up = "echo no such rule\nexit 3\n"; };
    guests = pkgs.svc.longrun { name = "guests"; dependencies = [ rules ]; run = "exec sleep 100000\n"; };
    clock = pkgs.svc.longrun { name = "clock"; run = "echo '<b>ticks</b>'\nexec sleep SECONDS\n"; };
  };
  vm.forward = [ "8080:8080" ];
}
"#;

/// Modules of it, with the fragment of the guide as it stands there.
fn modules(seconds: u32) -> String {
    let guide = sources().join("docs/guide/status-page.md");
    let guide = fs::read_to_string(guide).expect("it can be read");
    let fragments: Vec<_> = blocks(&guide).into_iter().filter(|it| it.language == "nix").collect();
    let [fragment] = &fragments[..] else { panic!("one fragment: {fragments:?}") };
    let configuration = CONFIGURATION.replace("SECONDS", &seconds.to_string());
    format!("({configuration}) ({{ config, ... }}: {{ {} }})", fragment.body)
}

/// What is answered at port 8080 of an address to these bytes, from a network beside it; `None`: nothing.
fn say(vm: &Vm, network: &str, address: &str, request: &str) -> Option<Answer> {
    let line = format!("exec 3<>/dev/tcp/{address}/8080 && printf %s \"$1\" >&3 && cat <&3; exit");
    let seconds = if network == "client" { "60" } else { "3" };
    let words = ["timeout", seconds, "bash", "-c", &line, "bash", request];
    answer(&vm.beside(network, &words).output().expect("nsenter runs").stdout[..])
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {PAGE}:8080\r\n\r\n")
}

/// A page, as who is at home gets it.
#[track_caller]
fn get(vm: &Vm, path: &str) -> Answer {
    let answer = say(vm, "client", PAGE, &request(path)).expect("an answer");
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer
}

/// The page once it says this.
#[track_caller]
fn shown(vm: &Vm, path: &str, text: &str) -> Answer {
    let begun = Instant::now();
    loop {
        let page = get(vm, path);
        if page.body.contains(text) || begun.elapsed() > PATIENCE {
            page.has(text);
            return page;
        }
        // The device keeps each connection in mind for two minutes.
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Fields of `/proc/PID/status`, each with a space between its words.
fn fields(vm: &Vm, pid: &str, names: &[&str]) -> Vec<String> {
    let status = vm.ask(&format!("cat /proc/{pid}/status"));
    let of = |name: &&str| {
        let found = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.expect("proc(5) has it").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    names.iter().map(of).collect()
}

#[test]
fn the_page_of_the_guide_shows_a_router_to_those_at_home_and_to_nobody_else() {
    let mut vm = Vm::new("status-page", &vm::build(&modules(100_001), "qemu-x86_64"));
    vm.option(&["--network", "real"]);
    vm.start();
    vm.wait_open();
    stdout(&mut vm.beside("client", &["ip", "address", "add", "192.168.8.50/24", "dev", "cable"]));
    shown(&vm, "/", "healthy: yes");

    everything_is_there(&vm);
    only_who_is_at_home_reaches_it(&vm);
    it_may_nothing(&vm);
    what_is_killed_is_seen(&vm);
    an_update_is_seen(&vm);
}

fn everything_is_there(vm: &Vm) {
    let page = get(vm, "/");
    page.lacks("files say").lacks("cannot").has("<b>seen</b>");
    page.has("2 not as it should be").has("it needs rules").has("its script exited 3");
    let entry = |name: &str, state: &str| {
        format!("<a href=\"/service?name={name}\">{name}</a> <b class=\"{state}</b>")
    };
    for (name, state) in [
        ("clock", "good\">up"),
        ("ssh", "good\">up"),
        ("dhcp-client-eth1", "good\">up"),
        ("dhcp-client-eth2", "quiet\">down"),
        ("guests", "bad\">failed"),
    ] {
        page.has(&entry(name, state));
    }
    page.has("<i>health-check</i>").has(": 198.51.100.1 answered after ");
    page.has("<i>round-robin</i>").has("turn: it serves").has("turn: in reserve");
    // The start: phases from the kernel on, and services that have waited for others.
    page.has("<svg id=\"start\"").has(">kernel ").has(">early boot ").has(">services ");
    page.has("<svg id=\"chart\"").has("class=\"critical\"").has(">ssh ");
    page.has("<td>/persist <i class=\"soft\">jffs2</i>");
    let runs = vm.ask("readlink -f /run/current-system");
    page.has(&format!("<p>Runs {0}</p><p>Starts {0}</p>", runs.trim()));
    page.has("nothing but what is in its image");

    let why = get(vm, "/service?name=guests");
    why.has("<h1 class=\"bad\">guests is failed</h1>").has("somebody asked: ward boot ");
    get(vm, "/service?name=rules").has("</b> no such rule</p>");
    get(vm, "/log?service=clock").has("</b> &lt;b&gt;ticks&lt;/b&gt;</p>");
    get(vm, "/log").has("<b>kernel</b> ").lacks("cannot be read");

    let numbers = get(vm, "/metrics");
    for number in [
        "manager_up 1",
        "log_readable 1",
        "generation_running 0",
        "service_up{service=\"ssh\",type=\"longrun\"} 1",
        "service_failed{service=\"rules\",type=\"oneshot\"} 1",
        "condition{controller=\"wan\",service=\"dhcp-client-eth1\",label=\"turn\"} 1",
        "filesystem_size_bytes{mountpoint=\"/\",fstype=\"jffs2\"} 29360128",
    ] {
        numbers.has(&format!("doorward_{number}\n"));
    }
}

fn only_who_is_at_home_reaches_it(vm: &Vm) {
    let outside = |address: &str| say(vm, "provider", address, &request("/metrics"));
    let route = ["ip", "route", "add", "192.168.8.0/24", "via", OUTSIDE];
    stdout(&mut vm.beside("provider", &route));
    // The way is there, also to the address at home.
    for address in [PAGE, OUTSIDE] {
        let ping = ["busybox", "ping", "-c", "1", "-W", "10", address];
        stdout(&mut vm.beside("provider", &ping));
        assert!(outside(address).is_none(), "the provider reads the page at {address}");
    }
    // It is the firewall that keeps the way to the address at home shut, as the guide says.
    vm.ask("ward stop firewall");
    assert_eq!(outside(PAGE).map(|answer| answer.status), Some(200));
    assert!(outside(OUTSIDE).is_none(), "it listens at that of the provider");
    vm.ask("ward start firewall");
    assert!(outside(PAGE).is_none());
    shown(vm, "/", "2 not as it should be");
}

fn it_may_nothing(vm: &Vm) {
    let page = vm.ask("s6-svstat -o pid /run/service/status-page");
    let names = ["Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs"];
    let (own, none) = ("102 102 102 102", "0000000000000000");
    let expected = [own, own, "102", none, none, none, none, "1"];
    assert_eq!(fields(vm, page.trim(), &names), expected);
    let pids = || vm.ask("for it in /run/service/*; do s6-svstat -o pid $it; done");
    let before = pids();
    let length = "Content-Length: 4\r\n\r\nname";
    for method in ["POST", "PUT", "DELETE"] {
        let text = format!("{method} /service?name=ssh HTTP/1.1\r\nHost: {PAGE}\r\n{length}");
        let answer = say(vm, "client", PAGE, &text).expect("an answer");
        assert_eq!(answer.status, 405, "{answer:?}");
        answer.lacks("ssh");
    }
    let text = "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    assert_eq!(say(vm, "client", PAGE, text).expect("an answer").status, 421);
    assert!(before.lines().count() > 8, "{before}");
    assert_eq!(pids(), before);
}

fn what_is_killed_is_seen(vm: &Vm) {
    let log = get(vm, "/log?service=clock");
    let next = log.body.split("data-next=\"").nth(1).and_then(|it| it.split('"').next());
    let next = next.expect("it goes on").replace("&amp;", "&");
    get(vm, &next).lacks("ticks");
    vm.ask("kill -9 $(s6-svstat -o pid /run/service/clock)");
    let page = shown(vm, "/", ", restarts: 1, it was killed by signal 9 before</i>");
    page.has("2 not as it should be");
    // What it said since then, and nothing else.
    assert_eq!(shown(vm, &next, "ticks").body.matches("ticks").count(), 1);
    shown(
        vm,
        "/metrics",
        "doorward_service_restarts_total{service=\"clock\",type=\"longrun\"} 1\n",
    );
    get(vm, "/service?name=clock")
        .has(", restarts: 1, it was killed by signal 9 before</p>")
        .has("ticks");
    // The page itself comes back as what it was.
    let pid = || vm.ask("s6-svstat -o pid /run/service/status-page");
    let before = pid();
    vm.ask(&format!("kill -9 {before}"));
    vm.ask("s6-svwait -U -t 30000 /run/service/status-page");
    assert_ne!(pid(), before);
    assert_eq!(
        fields(vm, pid().trim(), &["Uid", "CapEff"]),
        ["102 102 102 102", "0000000000000000"]
    );
    get(vm, "/").lacks("files say").lacks("cannot");
    get(vm, "/log").lacks("cannot be read").has("ticks");
}

/// Another generation comes while a browser on this machine has the page open.
fn an_update_is_seen(vm: &Vm) {
    let mut browser = Browser::start(WIDTH, 640);
    browser.go(&format!("http://{}/", vm.forwarded("8080 (tcp)")));
    assert_eq!(browser.value("document.documentElement.scrollWidth"), WIDTH);
    assert_eq!(browser.value("document.querySelector('header b').textContent"), "seen");
    browser.wait("document.getElementById('live').textContent === 'live'");
    assert_eq!(browser.value("!!document.getElementById('generations')"), false);
    browser.value("kept = 1");

    let before = vm.ask("s6-svstat -o pid /run/service/status-page");
    let ssh = vm.ssh("true");
    let words: Vec<&str> = ssh.get_args().filter_map(|word| word.to_str()).collect();
    let end = words.iter().position(|word| *word == "--").expect("it has one") - 1;
    let folder = Folder::new("status-page");
    let file = folder.write("c.nix", vm::configuration(&modules(100_002)));
    let mut rebuild = nix::command(doorward());
    rebuild.env("NIX_SSHOPTS", words[..end].join(" ")).args(["rebuild", words[end]]);
    rebuild.arg("--store").arg(store()).args([
        "-d",
        "qemu-x86_64",
        "--why",
        "a <slower> clock",
        "-c",
    ]);
    stdout(rebuild.arg(file));

    browser.wait("!!document.getElementById('generations')");
    browser.wait("document.getElementById('trial').textContent.includes(': committed')");
    assert_eq!(browser.value("kept"), 1, "it was loaded again");
    let row = "document.querySelector('#generations tr').textContent";
    let row = browser.value(row).as_str().expect("text").to_owned();
    assert!(row.starts_with("2runs, startscommitted"), "{row}");
    assert!(row.contains("a <slower> clock"), "{row}");
    assert!(browser.complaints.iter().all(|it| it.contains("favicon")), "{:?}", browser.complaints);
    let runs = vm.ask("readlink -f /run/current-system");
    let page = get(vm, "/");
    page.has(&format!("<p>Starts generation 2 ({})</p>", runs.trim())).lacks("cannot");
    get(vm, "/metrics").has("doorward_generation_running 2\n").has("doorward_generation_boot 2\n");
    // It did not change, and was not touched.
    assert_eq!(vm.ask("s6-svstat -o pid /run/service/status-page"), before);
}
