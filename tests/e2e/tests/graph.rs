//! `doorward services graph`: pictures of sources, databases, configurations and devices.

use std::fs;
use std::process::{Command, Output};

use e2e::documented::holds;
use e2e::house::House;
use e2e::json::Json;
use e2e::{doorward, nix};

fn graph(words: &[&str]) -> Output {
    Command::new(doorward()).args(["services", "graph"]).args(words).output().expect("it runs")
}

fn text(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("names are text")
}

/// A controller with a service that is there, one that is not, one that is down, and users.
fn house() -> House {
    let house = House::new("graph");
    house.sleeper("bridged").sleeper("never").sleeper("user").needs("user", &["bridged"]);
    house.sleeper("idle").oneshot("wrong", "false");
    house.controller(
        "hotplug",
        "plugs",
        "",
        &[("bridged", "subsystem net\ndevtype bridge\n"), ("never", "property INTERFACE=never")],
    );
    house.set("user", "on-restart.d/bridged", "notify\n");
    house.bundle("default", &["plugs", "user", "wrong"]);
    house
}

#[test]
fn a_device_is_drawn_as_it_is_now() {
    let house = house();
    house.boot("ip link add br0 type bridge");
    house.wait_up("user", true);
    let script = format!(
        "#!/bin/sh\nfor last; do :; done\n[ \"$last\" = 'ward graph' ] || exit 99\nexec {} graph -l {}\n",
        e2e::ward().display(),
        house.live().display()
    );
    let ssh = house.join("ssh");
    fs::write(&ssh, script).expect("written");
    let asked = |words: &[&str]| {
        let mut command = Command::new(doorward());
        command.args(["services", "graph"]).args(words);
        command.env("DOORWARD_SSH", format!("sh {}", ssh.display())).output().expect("it runs")
    };
    let tree = "\
idle [down]
plugs [up] (controller)
├ bridged [up] (notifies user, started by plugs)
└ never [down] (started by plugs)
user [up]
└ bridged [up] (see above)
wrong [failed] (oneshot)
";
    assert_eq!(text(asked(&["root@router", "--format", "text"])), tree);
    let told = Json::parse(text(asked(&["root@router", "--json"])).trim());
    told.items().iter().for_each(|one| holds("`doorward services graph --json`", one));
    let state =
        |one: &Json| format!("{} {}", one.text("name").unwrap(), one.text("state").unwrap());
    let states: Vec<String> = told.items().iter().map(state).collect();
    for state in ["wrong failed", "bridged up", "never down"] {
        assert!(states.iter().any(|found| found == state), "no {state} in {states:?}");
    }
    let drawn = text(asked(&["root@router", "-f", "svg"]));
    for (class, count) in [("it good", 3), ("it quiet", 2), ("it bad", 1)] {
        let legend = 1;
        let found = drawn.matches(&format!("class=\"{class}\"")).count();
        assert_eq!(found, count + legend, "{class} in\n{drawn}");
    }
    let some = text(asked(&["root@router", "-f", "text", "--of", "user"]));
    assert_eq!(
        some,
        "plugs [up] (controller)\n└ bridged [up] (notifies user, started by plugs)\nuser [up]\n└ bridged [up] (see above)\n"
    );
    // What is not there, and what says something else.
    fs::write(&ssh, "exit 255\n").expect("written");
    let output = asked(&["root@router"]);
    assert_eq!(output.status.code(), Some(111));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("there is no connection to root@router")
    );
    fs::write(&ssh, "echo 'digraph services {'; echo nonsense\n").expect("written");
    let output = asked(&["root@router"]);
    assert_eq!(output.status.code(), Some(111));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot read line 2"), "{output:?}");
}

#[test]
fn sources_and_their_database_give_the_same_picture() {
    let house = house();
    let database = house.compile();
    let sources = house.source("default").parent().expect("a folder").to_owned();
    let (sources, database) = (sources.to_str().expect("plain"), database.to_str().expect("plain"));
    for format in ["dot", "svg", "text"] {
        let one = text(graph(&[sources, "-f", format]));
        assert_eq!(one, text(graph(&[database, "-f", format])), "{format}");
        assert!(one.contains("bridged"));
    }
    // The ending of a file says what it shall be.
    let file = house.join("picture.svg");
    let file = file.to_str().expect("plain");
    text(graph(&[sources, "-o", file]));
    assert_eq!(
        fs::read_to_string(file).expect("it is there"),
        text(graph(&[sources, "-f", "svg"]))
    );
    for (words, code, why) in [
        (&[sources, "-o", "/tmp/picture.png"][..], 100, "cannot tell what"),
        (&[sources, "--of", "usr"], 1, "did you mean user?"),
        (&["/no/such/place"], 111, "cannot read"),
        (&[], 100, "SOURCE"),
    ] {
        let output = graph(words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(why), "{words:?}: {output:?}");
    }
}

#[test]
fn the_picture_in_the_guide_is_that_of_the_example() {
    let mut command = nix::command(doorward());
    command.args(["services", "graph", "-c", "examples/configuration.nix", "-f", "svg", "--store"]);
    let drawn = text(command.arg(nix::store()).output().expect("it runs"));
    let kept = fs::read_to_string(nix::sources().join("docs/guide/router.svg"));
    assert!(
        kept.is_ok_and(|kept| kept == drawn),
        "make it anew: doorward services graph -c examples/configuration.nix -o docs/guide/router.svg"
    );
}
