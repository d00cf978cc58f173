//! Devices seen from the build machine: `doorward status`, `chart` and `doctor`. What stands for ssh is a
//! script that runs what it is told here, with a `ward` that knows the tree of the test.

use std::fs;
use std::process::Command;

use e2e::client::{Client, Said};
use e2e::device::{Device, PATIENCE};
use e2e::documented::holds;
use e2e::json::Json;
use e2e::{Folder, debian, doorward, transcript, wait_for, ward};

/// A tree of services, and a way to it.
struct House {
    device: Device,
    folder: Folder,
}

impl House {
    fn new(what: &str) -> Self {
        let device = Device::new(what);
        device.sleeper("net").oneshot("fails", "false").sleeper("web").needs("web", &["net"]);
        device.bundle("default", &["web"]).start();
        let folder = Folder::new(&format!("{what}-way"));
        let script = format!(
            "#!/bin/sh\nverb=$1; shift\n[ $verb$OLD = --versionyes ] && exec echo ward 0.0.1\ncase $verb in\nstatus|chart|graph) exec {0} $verb -l {1} \"$@\" ;;\n\
             doctor) exec {0} doctor -l {1} -d {2} \"$@\" ;;\n*) exec {0} $verb \"$@\" ;;\nesac\n",
            ward().display(),
            device.live().display(),
            device.join("logs").display()
        );
        let program = folder.write("bin/ward", script);
        e2e::machine::executable(&program);
        // The last word is the command; the one before it is the device.
        let ssh = format!(
            "for word; do host=$last; last=$word; done\ncase $host in *barn) echo no route >&2; exit 255 ;;\n\
             *hut) PATH=/nowhere exec /bin/sh -c \"$last\" ;; *old) export OLD=yes ;; esac\n\
             PATH={}:$PATH exec sh -c \"$last\"\n",
            folder.join("bin").display()
        );
        folder.write("ssh", ssh);
        Self { device, folder }
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(doorward());
        command.args(words.split(' ')).current_dir(self.folder.path());
        command.env("DOORWARD_SSH", format!("sh {}", self.folder.join("ssh").display()));
        command.env_remove("NIX_SSHOPTS");
        command
    }

    fn run(&self, words: &str) -> Said {
        Client::run(&mut self.command(words))
    }
}

#[test]
fn the_table_has_a_line_for_each_device() {
    let house = House::new("watch-table");
    let said = house.run("status root@router root@barn").expect(1);
    let lines = said.lines();
    assert_eq!(lines.len(), 3, "{}", said.out);
    assert!(lines[0].starts_with("DEVICE       UP   GENERATION"), "{}", said.out);
    assert!(lines[1].starts_with("root@router  2/2 "), "{}", said.out);
    assert!(lines[2].ends_with("cannot be reached: no route"), "{}", said.out);
    house.device.ward("start fails").expect(1);
    let said = house.run("status --json root@router root@barn").expect(1);
    let all = Json::parse(said.out.trim());
    let [router, barn] = all.items() else { panic!("{}", said.out) };
    assert_eq!(router.get("services").unwrap().items().len(), 3);
    assert_eq!(
        (router.get("well"), barn.get("well")),
        (Some(&Json::Bool(false)), Some(&Json::Bool(false)))
    );
    assert!(barn.text("silent").unwrap().contains("no route"));
    assert!(house.run("status root@router").expect(1).out.contains("failed: fails"));
    house.folder.write("routers", "[first]\nroot@router\n[rest]\nroot@barn\n");
    assert_eq!(house.run("status --inventory routers").expect(1).lines().len(), 3);
    for words in ["status", "status -x", "status root@a root@a", "status --interval 0 a"] {
        house.run(words).expect(100);
    }
}

#[test]
fn on_a_terminal_the_table_is_drawn_anew_where_it_stood() {
    let house = House::new("watch-live");
    let screen = house.folder.join("screen");
    let words = format!("{} status --interval 1 root@router", doorward().display());
    let mut command = debian("script");
    command.args(["-qefc", &words]).arg(&screen).current_dir(house.folder.path());
    command.env("DOORWARD_SSH", format!("sh {}", house.folder.join("ssh").display()));
    let client = Client::start(&mut command);
    let shown = || fs::read_to_string(&screen).unwrap_or_default();
    wait_for("the first table", PATIENCE, || shown().contains("root@router  2/2 ").then_some(()));
    house.device.ward("stop web").expect(0);
    wait_for("what has changed", PATIENCE, || shown().contains("root@router  1/1 ").then_some(()));
    assert!(shown().contains("\x1b[2A\x1b[2KDEVICE"), "{:?}", shown());
    drop(client);
}

#[test]
fn the_picture_of_a_chart_marks_the_critical_path() {
    let house = House::new("watch-chart");
    let svg = house.run("chart root@router").expect(0).out;
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    assert!(svg.contains("critical path: net → web"), "{svg}");
    house.run("chart root@router -o picture.svg").expect(0);
    assert!(
        fs::read_to_string(house.folder.join("picture.svg")).unwrap().contains("<title>web: done")
    );
    house.folder.write("chart.json", house.device.ward("chart --json").expect(0).out);
    assert!(
        house.run("chart --from chart.json").expect(0).out.contains("critical path: net → web")
    );
    let told = Json::parse(house.run("chart root@router --json").expect(0).out.trim());
    holds("`ward chart --json`", &told);
    house.run("chart root@router -n 7").expect(1).has("remembers 1 change");
    house.run("chart root@barn").expect(111).has("no route");
    house.folder.write("odd.json", "{\"took_ms\": 5}");
    house.run("chart --from odd.json").expect(1).has("is not what");
    house.run("chart --from nowhere").expect(111);
}

#[test]
fn the_doctor_looks_at_this_machine_and_at_the_device() {
    let house = House::new("watch-doctor");
    let codes = |said: &Said| -> Vec<(String, String)> {
        let json = Json::parse(said.out.trim());
        let text = |one: &Json, field: &str| one.text(field).unwrap().to_owned();
        json.items().iter().map(|one| (text(one, "code"), text(one, "what"))).collect()
    };
    let has = |said: &Said, code: &str, what: &str| {
        let found = codes(said);
        assert!(found.iter().any(|(c, w)| c == code && w.contains(what)), "{code}: {found:?}");
    };
    // Nothing is on this PATH, and nobody has a key.
    let mut bare = house.command("doctor --json");
    bare.env("PATH", "/nowhere").env("HOME", "/nowhere").env_remove("SSH_AUTH_SOCK");
    let said = Client::run(&mut bare).expect(1);
    has(&said, "program", "nix-build is missing");
    has(&said, "ssh-key", "no key");
    has(&house.run("doctor --json root@barn").expect(1), "device", "root@barn: cannot be reached");
    let said = house.run("doctor root@hut").expect(1);
    assert!(
        said.out.contains("root@hut: it has no `ward`\n         is it the right one?"),
        "{}",
        said.out
    );
    let said = house.run("doctor root@old").expect(1);
    let version = format!(
        "warning  root@old has ward 0.0.1, and this is doorward {0}\n         `doorward rebuild root@old` ",
        env!("CARGO_PKG_VERSION")
    );
    assert!(said.out.contains(&version), "{}", said.out);
    house.device.ward("start fails").expect(1);
    let said = house.run("doctor --json root@router").expect(1);
    has(&said, "service", "root@router: fails is not as it should be");
    let text = house.run("doctor root@router").expect(1);
    assert!(
        text.out.contains(
            "bad      root@router: fails is not as it should be\n         `ward why fails`"
        ),
        "{}",
        text.out
    );
    assert!(text.out.trim_end().ends_with("to be done"), "{}", text.out);
    has(
        &house.run("doctor --json root@router -c none.nix").expect(1),
        "configuration",
        "gives nothing: ",
    );
    house.run("doctor -x").expect(100);
}

#[test]
fn what_is_said_of_devices_is_what_stands_in_the_transcript() {
    let house = House::new("watch-said");
    house.device.ward("start fails").expect(1);
    transcript::here("device-status.txt", house.folder.path(), &[], |command| {
        command.env("DOORWARD_SSH", format!("sh {}", house.folder.join("ssh").display()));
        command.env("DOORWARD", doorward());
    });
}
