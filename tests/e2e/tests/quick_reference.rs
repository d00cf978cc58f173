//! The commands of the manual's quick reference, as it prints them, in a
//! pretend router where everything lies where they look for it.

use std::process::Command;

use e2e::client::Client;
use e2e::device::Device;
use e2e::manual::{LOG, SERVICES, answers, script};
use e2e::{doorward, ward};

fn sources() -> Device {
    let device = Device::new("manual");
    device.sleeper("burrow").oneshot("grass", "echo grows");
    device.longrun("wombat", "echo digs\nexec sleep 100000").needs("wombat", &["burrow", "grass"]);
    device.sleeper("den").needs("den", &["wombat"]);
    device.sleeper("plugged").needs("plugged", &["wombat", "usb"]).oneshot("usb", "true");
    device.bundle("default", &["den"]);
    device
}

/// What a shell script prints in the router.
fn in_router(sources: &Device, script: &str) -> String {
    let mut command = Command::new(doorward());
    command.args(["run", "--ward"]).arg(ward()).arg(sources.join("src"));
    let said = Client::run(command.args(["sh", "-c", script]));
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    said.out
}

#[test]
fn every_row_does_what_the_manual_says() {
    let said = in_router(&sources(), &script(SERVICES.iter().map(|(line, _)| *line)));
    let expected: Vec<&[&str]> = SERVICES.iter().map(|(_, answer)| *answer).collect();
    assert_eq!(answers(&said), expected, "{said}");
}

#[test]
fn the_log_is_where_the_manual_looks_for_it() {
    let wait = "until grep -q digs /run/uncaught-logs/current; do sleep 0.01; done";
    let said = in_router(&sources(), &format!("{wait}\n{}", script(LOG.iter().copied())));
    let answers = answers(&said);
    let [files, link, logged, dated] = &answers[..] else { panic!("{said}") };
    assert_eq!(files[..], ["current", "lock", "state"]);
    assert_eq!(link[..], ["uncaught-logs"]);
    for (at, text) in ["grass grows", "wombat digs"].iter().enumerate() {
        let (label, rest) = logged[at].split_once(' ').unwrap();
        assert_eq!((label.len(), &label[..9], rest), (25, "@40000000", *text));
        let (date, rest) = dated[at].split_at(30);
        assert_eq!(rest, *text, "{date}");
        assert_eq!((&date[..2], &date[10..11], &date[29..]), ("20", " ", " "), "{date}");
    }
}
