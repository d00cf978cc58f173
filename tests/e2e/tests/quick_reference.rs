//! The commands of the manual's quick reference, as it prints them, in a
//! pretend router where everything lies where they look for it.

use std::process::Command;

use e2e::client::Client;
use e2e::device::Device;
use e2e::{doorward, ward};

/// `den` needs `wombat`, that needs `burrow` and `grass`. `plugged` needs `wombat`
/// and `usb`, which something else starts when there is a reason.
fn sources() -> Device {
    let device = Device::new("manual");
    device.sleeper("burrow").oneshot("grass", "echo grows");
    device.longrun("wombat", "echo digs\nexec sleep 100000").needs("wombat", &["burrow", "grass"]);
    device.sleeper("den").needs("den", &["wombat"]);
    device.sleeper("plugged").needs("plugged", &["wombat", "usb"]).oneshot("usb", "true");
    device.bundle("default", &["den"]);
    device
}

/// What the lines of a shell script print in the router, each behind itself.
fn in_router(sources: &Device, lines: &[&str]) -> String {
    let mut script = String::new();
    for line in lines {
        script.push_str(&format!("cat <<'END'\n# {line}\nEND\n{line}\n"));
    }
    let mut command = Command::new(doorward());
    command.args(["run", "--ward"]).arg(ward()).arg(sources.join("src"));
    let said = Client::run(command.args(["sh", "-c", &script]));
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    said.out
}

#[test]
fn every_row_does_what_the_manual_says() {
    let sources = sources();
    let said = in_router(
        &sources,
        &[
            "s6-rc -a list",
            "s6-rc -da list",
            "s6-rc-db dependencies wombat",
            "s6-rc-db all-dependencies wombat",
            "s6-rc-db -d dependencies wombat",
            "s6-rc-db -d all-dependencies wombat",
            "s6-rc -d change wombat",
            "s6-rc -a list",
            "s6-rc -u change wombat",
            "s6-rc -a list",
            "s6-rc-up-tree wombat",
            "s6-rc -a list",
            "s6-rc-up-tree usb",
            "s6-rc -da list",
        ],
    );
    // Lists have the order of the database, what needs leads to the opposite one.
    let expected = "\
# s6-rc -a list
burrow
den
wombat
grass
# s6-rc -da list
plugged
usb
# s6-rc-db dependencies wombat
grass
burrow
# s6-rc-db all-dependencies wombat
grass
wombat
burrow
# s6-rc-db -d dependencies wombat
plugged
den
# s6-rc-db -d all-dependencies wombat
wombat
plugged
den
# s6-rc -d change wombat
# s6-rc -a list
burrow
grass
# s6-rc -u change wombat
# s6-rc -a list
burrow
wombat
grass
# s6-rc-up-tree wombat
# s6-rc -a list
burrow
den
wombat
grass
# s6-rc-up-tree usb
# s6-rc -da list
";
    assert_eq!(said, expected);
}

#[test]
fn the_log_is_where_the_manual_looks_for_it() {
    let sources = sources();
    let said = in_router(
        &sources,
        &[
            "until grep -q digs /run/uncaught-logs/current; do sleep 0.01; done",
            "ls /run/uncaught-logs/",
            "readlink /run/log",
            "tail -2 /run/uncaught-logs/current",
            "tail -2 /run/uncaught-logs/current  | s6-tai64nlocal",
        ],
    );
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[1..5], ["# ls /run/uncaught-logs/", "current", "lock", "state"]);
    assert_eq!(lines[6], "uncaught-logs");
    let (logged, dated) = (&lines[8..10], &lines[11..13]);
    for (at, text) in ["grass grows", "wombat digs"].iter().enumerate() {
        let (label, rest) = logged[at].split_once(' ').unwrap();
        assert_eq!((label.len(), &label[..9], rest), (25, "@40000000", *text));
        let (date, rest) = dated[at].split_at(30);
        assert_eq!(rest, *text, "{date}");
        assert_eq!((&date[..2], &date[10..11], &date[29..]), ("20", " ", " "), "{date}");
    }
}
