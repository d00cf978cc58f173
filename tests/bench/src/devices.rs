//! From a device that comes to the service that is there for it: network devices in namespaces of
//! the bench's own, where the kernel sends its messages about them.
//!
//! Source: `rtnetlink(7)`, `netlink(7)`.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto};
use rustix::net::{bind, socket_with};

use crate::bench::{Bench, command, path_text};
use crate::processes::watch;
use crate::program::{Program, now, told_time};
use crate::series::Series;
use crate::services::{Services, put};
use crate::table::Unit::Milliseconds;
use crate::table::{Reach, Row};
use crate::tree::{Keeper, Tree};

/// The bench calls itself with this word, as the one inside who plugs devices in.
pub const PLUG: &str = "--plug";

/// From before the call that makes a device, until the service that is there for it has its own
/// program; everything on one core.
pub fn hotplug(bench: &Bench) -> Vec<Row> {
    let figure = "new device to its service's process; floor: making it, starting that";
    let mut row = Row::new(figure, Milliseconds, Reach::AtMost(5.0));
    let folder = e2e::Folder::in_memory("bench");
    let (told, live) = (folder.join("told"), folder.join("live"));
    mknodat(CWD, &told, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("mkfifo");
    let program = Program::TellTimeThenPause(&told);
    program.write(&folder.join("program")).expect("a program can be written");
    let at = |file: &str| folder.join("src").join(file);
    put(&at("plugged/type"), b"longrun\n");
    put(&at("plugged/run"), &program.bytes());
    put(&at("plugs/type"), b"longrun\n");
    let [ward, live_text] = [&bench.ward, &live].map(|path| path_text(path));
    let run = format!("#!/bin/sh\nexec {ward} hotplug -l {live_text} plugs\n");
    put(&at("plugs/run"), run.as_bytes());
    put(&at("plugs/notification-fd"), b"3\n");
    // It comes and goes all the time here, and shall not wait for that.
    put(&at("plugs/controller"), b"kind hotplug\nhold 0\nhold-max 0\n");
    put(&at("plugs/controls.d/plugged"), b"subsystem net\ndevtype bridge\n");
    put(&at("default/type"), b"bundle\n");
    put(&at("default/contents.d/plugs"), b"");
    let services = Services { folder, count: 1 }.compile(bench);
    let tree = Tree::start(bench, &services, Keeper::WardApart);
    watch("the controller", || up(&live) == 1);

    let rounds = if bench.quick { 3 } else { 5 * bench.runs };
    let mut inside = command("nsenter");
    inside.args(["--user", "--preserve-credentials", "--net", "--mount", "--target"]);
    inside.arg(tree.root().to_string());
    row.ward = plug_inside(bench, inside, &services, rounds, SERVED);
    tree.end();
    // Where nobody listens.
    let mut inside = command("unshare");
    inside.args(["--user", "--map-root-user", "--net"]);
    row.floor = plug_inside(bench, inside, &services, rounds, BARE);
    vec![row]
}

/// Runs [`plug`] by a command that goes inside.
fn plug_inside(
    bench: &Bench,
    mut inside: Command,
    services: &Services,
    rounds: usize,
    how: &str,
) -> Series {
    inside.arg(std::env::current_exe().expect("it runs")).arg(PLUG);
    inside.arg(services.folder.join(".")).arg(rounds.to_string()).arg(how);
    inside.stdout(Stdio::piped());
    let output = bench.cores.measured(|| inside.spawn()).and_then(|child| child.wait_with_output());
    let output = output.expect("a program inside can be started");
    assert!(output.status.success(), "no device can be made inside: {:?}", output.status);
    let mut series = Series::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        series.push_ms(Duration::from_nanos(line.parse().expect("nanoseconds")));
    }
    series
}

/// How many services are up.
fn up(live: &Path) -> usize {
    let bytes = fs::read(live.join("state")).unwrap_or_default();
    bytes.iter().filter(|byte| **byte & 1 != 0).count()
}

/// What [`plug`] measures: until the service of a device has its program, and how long it takes to
/// make a device and then start that program.
const SERVED: &str = "served";
const BARE: &str = "bare";

/// Plugs a device in and out again, inside, and prints how many nanoseconds each time took.
pub fn plug(mut words: impl Iterator<Item = String>) {
    let folder = PathBuf::from(words.next().expect("a folder"));
    let rounds: usize = words.next().and_then(|word| word.parse().ok()).expect("a number");
    let served = words.next().expect("how") == SERVED;
    let told = fs::File::options().read(true).write(true).open(folder.join("told"));
    let mut told = told.expect("a fifo");
    let links = Links::open();
    let live = folder.join("live");
    for _ in 0..rounds {
        // Whatever is still to be done after the one before, and the second that there is between
        // two starts of a longrun.
        std::thread::sleep(Duration::from_millis(if served { 1050 } else { 20 }));
        let before = now();
        links.make("plug0", "bridge");
        let program = (!served).then(|| Command::new(folder.join("program")).spawn());
        let mut time = [0; 16];
        told.read_exact(&mut time).expect("the fifo stays open");
        println!("{}", (told_time(time) - before).as_nanos());
        if let Some(program) = program {
            let mut program = program.expect("it can be started");
            program.kill().and_then(|()| program.wait()).expect("it is our child");
        } else {
            watch("the service", || up(&live) == 2);
        }
        links.remove("plug0");
        watch("the service's end", || !served || up(&live) == 1);
    }
}

/// A socket on which the kernel is told to make network devices.
struct Links(rustix::fd::OwnedFd);

const NEW_LINK: u16 = 16;
const REMOVE_LINK: u16 = 17;
/// It is an order, to be answered.
const REQUEST: u16 = 1 | 4;
/// There must be none.
const CREATE: u16 = 0x400 | 0x200;
const NAME: u16 = 3;
const LINK_INFO: u16 = 18;
const INFO_KIND: u16 = 1;

impl Links {
    fn open() -> Self {
        let family = AddressFamily::NETLINK;
        let socket = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, None);
        let socket = socket.expect("a socket for netlink");
        bind(&socket, &SocketAddrNetlink::new(0, 0)).expect("it has an address");
        Self(socket)
    }

    fn make(&self, name: &str, kind: &str) {
        let kind = attribute(INFO_KIND, kind.as_bytes());
        self.order(NEW_LINK, CREATE, &[named(name), attribute(LINK_INFO, &kind)].concat());
    }

    fn remove(&self, name: &str) {
        self.order(REMOVE_LINK, 0, &named(name));
    }

    fn order(&self, order: u16, flags: u16, attributes: &[u8]) {
        // `struct ifinfomsg` with nothing said, behind `struct nlmsghdr`.
        let mut message = Vec::from((32 + attributes.len() as u32).to_ne_bytes());
        message.extend(order.to_ne_bytes());
        message.extend((REQUEST | flags).to_ne_bytes());
        message.resize(32, 0);
        message.extend(attributes);
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(&self.0, &message, SendFlags::empty(), &kernel).expect("the kernel listens");
        let mut answer = [0; 512];
        let length = recv(&self.0, &mut answer, RecvFlags::empty()).expect("it answers").0;
        assert!(length >= 20, "an answer has a number");
        let error = i32::from_ne_bytes(std::array::from_fn(|at| answer[16 + at]));
        assert_eq!(error, 0, "the kernel refuses {order}");
    }
}

fn named(name: &str) -> Vec<u8> {
    attribute(NAME, &[name.as_bytes(), b"\0"].concat())
}

fn attribute(number: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from((4 + value.len() as u16).to_ne_bytes());
    bytes.extend(number.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
