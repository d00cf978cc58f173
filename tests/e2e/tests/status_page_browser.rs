//! The status page as a browser shows it: on a telephone, by itself up to date, and without scripts.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use e2e::alone::alone_after;
use e2e::browser::Browser;
use e2e::house::House;
use e2e::page::{ADDRESS, Served, get};
use e2e::wait_for;
use model::deploy::history::{Outcome, Record};

/// A device that has run for a while, as far as its files tell.
const DEVICE: &str = "
hostname router
for folder in /run /nix /boot; do
	mkdir -p $folder
	mount -t tmpfs tmpfs $folder
done
";

/// A small screen, as wide as the narrowest of telephones that are sold.
const WIDTH: u32 = 360;
const HEIGHT: u32 = 740;

fn files() {
    let store = |number: u32| format!("/nix/store/{number:032}-router-system");
    fs::create_dir_all("/boot/generations").expect("mkdir");
    for (number, outcome, why) in [
        (1, Outcome::Committed, "the first one"),
        (2, Outcome::Failed, "a faster DNS server"),
        (3, Outcome::Committed, "a status page"),
    ] {
        fs::create_dir_all(store(number)).expect("mkdir");
        symlink(store(number), format!("/boot/generations/{number}")).expect("a link");
        let made = 1_780_000_000 + u64::from(number) * 90_000;
        let record = Record {
            outcome,
            made,
            ended: made + 60,
            by: "anna@desk".into(),
            from: None,
            why: why.into(),
            id: String::new(),
            reason: if number == 2 { "dns was not up any more".into() } else { String::new() },
            lines: Vec::new(),
        };
        fs::write(format!("/boot/generations/{number}.record"), record.write()).expect("written");
    }
    symlink(store(3), "/boot/system").expect("a link");
    symlink(store(3), "/run/current-system").expect("a link");
    let phases = "kernel\t2.107\nroot\t2.320\ngeneration\t2.330\ninit\t2.441\nup\t6.008\n";
    fs::write("/run/boot-phases", phases).expect("written");
}

/// A router: a second uplink in reserve, and what it does for a home.
fn router() -> House {
    let house = House::new("browser");
    let sleeper = |name: &str| {
        house.longrun(name, "echo >&3; exec sleep 100000").set(name, "notification-fd", "3\n");
    };
    for name in ["dsl", "lte", "dhcp-dns", "ssh", "ntp"] {
        sleeper(name);
    }
    house.oneshot("bridge", "true").oneshot("lan", "true").needs("lan", &["bridge"]);
    house.needs("dhcp-dns", &["lan"]).needs("ssh", &["lan"]).oneshot("firewall", "true");
    house.controller("round-robin", "uplink", "", &[("dsl", "order 1\n"), ("lte", "order 2\n")]);
    house.needs("ntp", &["uplink"]);
    let said = house.join("said");
    let talk = format!("mkfifo {0} 2>/dev/null; while :; do cat {0}; done", said.display());
    house.longrun("logbook", &talk);
    house.bundle("default", &["dhcp-dns", "ssh", "firewall", "uplink", "ntp", "logbook"]);
    house.start();
    house.wait_up("dsl", true);
    wait_for("what it reads", e2e::page::PATIENCE, || said.exists().then_some(()));
    house
}

fn url(path: &str) -> String {
    format!("http://{ADDRESS}{path}")
}

#[test]
fn it_is_read_on_a_telephone_and_keeps_up_by_itself() {
    let test = "it_is_read_on_a_telephone_and_keeps_up_by_itself";
    if !alone_after(test, DEVICE) {
        return;
    }
    files();
    let house = router();
    let words = [ADDRESS];
    let served = Served::start(&house, &words);
    let shown = || get("/").body.contains("it serves").then_some(());
    wait_for("who serves", e2e::page::PATIENCE, shown);
    let hostile = "<img src=x onerror=\"hacked=1\"><script>hacked=1</script>";
    let long = "x".repeat(1_000);
    fs::write(house.join("said"), format!("{hostile}\n{long}\n")).expect("it reads");
    let mut browser = Browser::start(WIDTH, HEIGHT);
    // Nothing has to be moved sideways to be read.
    for path in
        ["/", "/service?name=dhcp-dns", "/log", "/log?service=logbook", "/service?name=uplink"]
    {
        browser.go(&url(path));
        let wide = browser.value("document.documentElement.scrollWidth");
        assert_eq!(wide, WIDTH, "{path}");
        assert_eq!(
            browser.value("getComputedStyle(document.querySelector('header b')).fontSize"),
            "20px"
        );
    }
    browser.go(&url("/log"));
    browser.wait("document.getElementById('log').textContent.includes('onerror=')");
    assert_eq!(browser.value("typeof hacked"), "undefined");
    assert_eq!(browser.value("document.querySelectorAll('#log img, #log script').length"), 0);
    // What is new comes below the rest, and nothing was loaded again.
    browser.value("kept = 1");
    fs::write(house.join("said"), "it has come\n").expect("it reads");
    browser.wait(
        "document.getElementById('log').lastElementChild.textContent.includes('it has come')",
    );
    assert_eq!(browser.value("kept"), 1);
    assert_eq!(
        browser.value("document.getElementById('log').textContent.split('it has come').length"),
        2
    );
    // A service goes down, and the page says so, and that it comes back.
    browser.go(&url("/"));
    browser.value("kept = 2");
    for part in ["#services", "#controllers", "#generations", "#start", "#chart .critical", "meter"]
    {
        assert_eq!(browser.value(&format!("!!document.querySelector('{part}')")), true, "{part}");
    }
    browser.wait("document.querySelector('h1').className === 'good'");
    // Colours follow what a person prefers.
    let colour = "getComputedStyle(document.querySelector('h1')).color";
    browser.dark(false);
    let light = browser.value(colour);
    picture(&mut browser);
    browser.dark(true);
    assert_ne!(browser.value(colour), light);
    browser.dark(false);
    house.ward("stop ssh").expect(0);
    let state =
        "document.querySelector('#services a[href$=\"name=ssh\"]').nextElementSibling.textContent";
    browser.wait(&format!("{state} === 'down'"));
    house.ward("start ssh").expect(0);
    browser.wait(&format!("{state} === 'up'"));
    assert_eq!(browser.value("kept"), 2);
    // A device that does not answer is no device where all is well.
    drop(served);
    browser.wait("document.getElementById('live').className === 'bad'");
    let _served = Served::start(&house, &words);
    browser.wait("document.getElementById('live').textContent === 'live'");
    assert_eq!(browser.value("kept"), 2);
    browser.complaints.retain(|text| {
        // While nobody listened, and an icon that every browser asks for.
        !text.contains("ERR_CONNECTION_REFUSED") && !text.contains("favicon.ico")
    });
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
    // Without scripts it is the same page, which the browser gets again every ten seconds.
    browser.scripts(false);
    browser.go(&url("/"));
    browser.value("kept = 3");
    assert_eq!(browser.value(&format!("{state} === 'up'")), true);
    house.ward("stop ssh").expect(0);
    browser.wait(&format!("{state} === 'down' && typeof kept === 'undefined'"));
    browser.go(&url("/service?name=ssh"));
    assert_eq!(browser.value("document.querySelector('h1').textContent"), "ssh is down");
}

/// Keeps a picture of the page where `$DOORWARD_PICTURE` says; it must not be empty in any case.
fn picture(browser: &mut Browser) {
    let picture = browser.picture(WIDTH, 1_150);
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 10_000, "{} bytes", picture.len());
    if let Some(path) = std::env::var_os("DOORWARD_PICTURE") {
        fs::write(Path::new(&path), picture).expect("it can be kept");
    }
}
