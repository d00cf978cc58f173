//! What `--json` prints is what docs/formats/json.md says.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use e2e::device::Device;
use e2e::documented::{holds, page};
use e2e::json::Json;
use e2e::{Folder, documented, doorward, stdout, ward};
use model::digest::Digest;
use model::flash::manifest::{Manifest, Part};

#[test]
fn the_status_and_the_log_are_as_documented() {
    let device = Device::new("json");
    device.sleeper("net").oneshot("rules", "sh -c \"echo '<3>bad'; exit 3\"").sleeper("web");
    device.needs("web", &["net", "rules"]).longrun("dies", "printf 'a\\377\\n'; exit 7");
    device.bundle("default", &["net", "dies"]).start();
    device.ward("start web");
    device.wait_log("rules <3>bad");
    device.wait_log("dies a\u{fffd}");
    let said = device.ward("status --json").expect(1).out;
    let status = Json::parse(said.trim());
    assert_eq!(status.items().len(), 4);
    status.items().iter().for_each(|object| holds("`ward status --json`", object));
    for (words, code, steps) in [
        ("stop --json net", 0, &["stopping", "down"][..]),
        ("start --json web", 1, &["starting", "up", "failed"]),
        ("reload --json net", 0, &["reloaded"]),
    ] {
        let said = device.ward(words).expect(code).out;
        let objects: Vec<Json> = said.lines().map(Json::parse).collect();
        objects.iter().for_each(|one| holds("`ward start --json`", one));
        for step in steps {
            assert!(objects.iter().any(|one| one.text("step") == Some(*step)), "{step}: {said}");
        }
        let failed = objects.iter().filter(|one| one.text("step") == Some("failed"));
        failed.for_each(|one| assert!(one.text("reason").is_some(), "{said}"));
    }
    let logs = device.join("logs");
    let said = device.ward(&format!("log --json -d {}", logs.display())).expect(0).out;
    let mut seen = Vec::new();
    for line in said.lines() {
        let object = Json::parse(line);
        holds("`ward log --json`", &object);
        for field in ["bytes", "priority"] {
            seen.extend(object.get(field).is_some().then_some(field));
        }
    }
    assert!(seen.contains(&"bytes") && seen.contains(&"priority"), "{said}");
    device.stop();
}

#[test]
fn why_and_the_chart_are_as_documented() {
    let device = Device::new("json-why");
    device.sleeper("net").oneshot("rules", "sh -c \"echo no; exit 3\"").sleeper("web");
    device.needs("web", &["net", "rules"]).set("dies", "restart-wait", "60000");
    device.longrun("dies", "exit 7").sleeper("user").needs("user", &["net"]);
    device.bundle("default", &["user", "dies"]).start();
    device.ward("start web");
    device.wait_log("rules no");
    let logs = device.join("logs");
    let said = device.ward(&format!("why --json -d {} web net dies", logs.display())).expect(1);
    let all = Json::parse(said.out.trim());
    for object in all.items() {
        holds("`ward why --json`", object);
        object.get("causes").unwrap().items().iter().for_each(|one| holds("Each of `causes`", one));
    }
    let web = &all.items()[0];
    assert_eq!(web.get("causes").unwrap().items().len(), 2);
    assert!(!web.get("log").unwrap().items().is_empty(), "{web:?}");
    let said = device.ward(&format!("doctor --json -d {}", logs.display())).expect(1);
    let findings = Json::parse(said.out.trim());
    assert!(!findings.items().is_empty());
    findings.items().iter().for_each(|one| holds("`ward doctor --json`", one));
    let json = Json::parse(device.ward("chart --json").expect(0).out.trim());
    holds("`ward chart --json`", &json);
    let services = json.get("services").unwrap().items();
    assert_eq!(services.len(), 3, "{json:?}");
    services.iter().for_each(|one| holds("Each of `services`", one));
    let all = Json::parse(device.ward("chart --list --json").expect(0).out.trim());
    assert!(all.items().len() > 1, "{all:?}");
    all.items().iter().for_each(|one| holds("`ward chart --list --json`", one));
    let asked = |one: &Json| one.text("asked_by").is_some_and(|by| by.starts_with("ward start "));
    assert!(all.items().iter().any(asked), "{all:?}");
    device.stop();
}

#[test]
fn words_outputs_and_generations_are_as_documented() {
    let device = Device::new("json-words");
    device.sleeper("net").bundle("default", &["net"]).start();
    let json = |words: &str| Json::parse(device.ward(words).out.trim());
    let explain =
        Command::new(ward()).args(["explain", "--json", "11", "nonsense"]).output().unwrap();
    assert_eq!(explain.status.code(), Some(1));
    let explain = Json::parse(String::from_utf8_lossy(&explain.stdout).trim());
    explain.items().iter().for_each(|one| holds("`ward explain --json`", one));
    assert_eq!(explain.items()[1].get("known"), Some(&Json::Bool(false)));
    device.ward("output set net dns \"9\\.9").expect(0);
    let outputs = json("output --json list net");
    assert_eq!(outputs, Json::parse(r#"{"dns":"\"9\\.9"}"#), "`ward output --json list`");
    let one = Json::parse(device.ward("output --json get net dns").expect(0).out.trim());
    assert_eq!(one, outputs);
    device.ward("output --json get net none").expect(1);
    let mut watch = device.ward_command("output --json watch net");
    let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().expect("it is piped")).lines();
    let mut next = || Json::parse(&lines.next().expect("it goes on").unwrap());
    assert_eq!(next().text("value"), Some("\"9\\.9"));
    device.ward("output unset net dns").expect(0);
    let gone = next();
    holds("`ward output --json watch`", &gone);
    assert_eq!((gone.text("key"), gone.get("value")), (Some("dns"), Some(&Json::Null)));
    watch.kill().expect("it runs");
    watch.wait().expect("it ends");
    let generation = |words: &[&str]| {
        let output = Command::new(ward()).arg("generation").args(words).output().unwrap();
        Json::parse(String::from_utf8_lossy(&output.stdout).trim())
    };
    holds("`ward generation status --json`", &generation(&["status", "--json"]));
    let all = generation(&["list", "--json"]);
    all.items().iter().for_each(|one| holds("`ward generation list --json`", one));
    for (words, good) in [("true", true), ("false", false)] {
        let output = Command::new(ward()).args(["probe", "--json", "command", words]).output();
        let one = Json::parse(String::from_utf8_lossy(&output.unwrap().stdout).trim());
        holds("`ward probe --json`", &one);
        assert_eq!(one.get("good"), Some(&Json::Bool(good)));
    }
    device.stop();
}

#[test]
fn the_graph_is_as_documented() {
    let device = Device::new("json-graph");
    device.sleeper("net").sleeper("line").sleeper("web").oneshot("rules", "true");
    device.needs("web", &["net", "rules"]).set("web", "producer-for", "writer");
    device.set("writer", "type", "longrun").set("writer", "consumer-for", "web");
    device.set("writer", "run", "#!/bin/sh\nexec cat\n").set("net", "on-restart.d/line", "restart");
    device.needs("net", &["line"]).set("hand", "type", "longrun").set(
        "hand",
        "controller",
        "kind other\n",
    );
    device.set("hand", "run", "#!/bin/sh\nexec sleep 999\n").set("hand", "controls.d/line", "");
    device.bundle("default", &["hand"]).start();
    let all = Json::parse(device.ward("graph --json").expect(0).out.trim());
    all.items().iter().for_each(|one| holds("`ward graph --json`", one));
    let one = |name: &str| {
        let found = all.items().iter().find(|one| one.text("name") == Some(name));
        found.unwrap_or_else(|| panic!("{name} is not in {all:?}"))
    };
    let texts = |of: &Json, field: &str| -> Vec<String> {
        let items = of.get(field).map(Json::items).unwrap_or_default();
        items.iter().map(|item| format!("{item:?}")).collect()
    };
    assert_eq!(texts(one("hand"), "starts").len(), 1);
    assert_eq!(texts(one("net"), "restarted_by"), texts(one("net"), "needs"));
    assert_eq!(one("web").text("pipe"), Some("writer"));
    let some = Json::parse(device.ward("graph --json rules").expect(0).out.trim());
    assert_eq!(some.items().len(), 1);
    device.stop();
}

#[test]
fn what_is_collected_and_an_image_are_as_documented() {
    let folder = Folder::new("json-store");
    let said = |words: &[&str], code: i32| {
        let output = Command::new(ward()).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let path = "nix/store/0123456789abcdfghijklmnpqrsvwxyz-old";
    folder.write(format!("{path}/file"), "old");
    let root = folder.path().display().to_string();
    for (words, removed) in [(&["--dry-run"][..], false), (&[], true)] {
        let words = [&["store", "collect", "--json", "--root", &root], words].concat();
        let json = Json::parse(&said(&words, 0));
        holds("`ward store --json collect`", &json);
        let verified = Json::parse(&said(&["store", "verify", "--json", "--root", &root], 0));
        holds("`ward store --json verify`", &verified);
        assert_eq!(json.get("removed"), Some(&Json::Bool(removed)));
        let paths = json.get("paths").unwrap().items();
        paths.iter().for_each(|one| holds("Each of `paths`", one));
        assert_eq!(paths[0].text("path"), Some(&*format!("/{path}")));
    }
    assert!(!folder.join(path).exists());
    // Of what nobody has copied there is neither a hash nor a size.
    folder.write(format!("{path}/file"), "old");
    let there = Json::parse(&said(&["store", "query", "--json", "--root", &root], 0));
    holds("`ward store --json query`", &there);
    let [one] = there.get("paths").unwrap().items() else { panic!("{there:?}") };
    holds("Each of the `paths` that are there", one);
    assert_eq!((one.text("path"), one.get("hash")), (Some(&*format!("/{path}")), None));
    said(&["store", "keep", "--json", "name", &format!("/{path}")], 100);

    let digest = Digest::of(b"kernel");
    let part = Part {
        name: "kernel".into(),
        offset: 0,
        size: 0x10000,
        bytes: 6,
        digest,
        rest_erased: false,
    };
    let manifest = Manifest {
        device: "a \"router\"".into(),
        generation: String::new(),
        partition: "firmware".into(),
        size: 0x10000,
        erase_bytes: 0x10000,
        bytes: 0x10000,
        parts: vec![part],
        signature: None,
    };
    let image = folder.join("image");
    let mut bytes = b"kernel".to_vec();
    bytes.resize(0x10000, 0xff);
    bytes.extend(manifest.trailer().expect("a manifest"));
    std::fs::write(&image, bytes).unwrap();
    let image = image.display().to_string();
    let here = Json::parse(&said(&["image", "verify", "--json", &image], 0));
    holds("`doorward image verify --json`", &here);
    here.get("parts").unwrap().items().iter().for_each(|one| holds("Each of `parts`", one));
    // Flash is none here: `flash.rs` has some.
    let refused = said(&["flashcp", "--json", &image, "mtd:none"], 1);
    documented::events("`flashcp --json`", &refused, &["end"]);
    let there = Command::new(doorward()).args(["image", "verify", "--json", &image]).output();
    assert_eq!(here, Json::parse(String::from_utf8_lossy(&there.unwrap().stdout).trim()));
}

#[test]
fn what_is_checked_is_as_documented() {
    let folder = Folder::new("json-check");
    folder.write("good/web/type", "longrun");
    folder.write("good/web/run", "#!/bin/sh\nexec sleep 9\n");
    folder.write("bad/web/type", "longrn");
    for (sources, code, sound) in [("good", 0, true), ("bad", 1, false)] {
        let mut command = Command::new(doorward());
        command.args(["services", "check", "--json"]).arg(folder.join(sources));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let json = Json::parse(String::from_utf8_lossy(&output.stdout).trim());
        holds("`doorward services check --json`", &json);
        assert_eq!(json.get("sound"), Some(&Json::Bool(sound)));
        let mistakes = json.get("mistakes").unwrap().items();
        assert_eq!(mistakes.is_empty(), sound);
        mistakes.iter().for_each(|one| holds("Each of `mistakes`", one));
    }
}

#[test]
fn what_is_compiled_and_drawn_is_as_documented() {
    let folder = Folder::new("json-compile");
    for (file, text) in [
        ("good/web/type", "longrun"),
        ("good/web/run", "#!/bin/sh\nexec sleep 9\n"),
        ("good/web/dependencies.d/net", ""),
        ("good/web/on-restart.d/net", "notify\n"),
        ("good/web/producer-for", "writer"),
        ("good/writer/type", "longrun"),
        ("good/writer/run", "#!/bin/sh\nexec cat\n"),
        ("good/writer/consumer-for", "web"),
        ("good/net/type", "oneshot"),
        ("good/net/up", "true"),
        ("good/hand/type", "longrun"),
        ("good/hand/run", "#!/bin/sh\nexec sleep 9\n"),
        ("good/hand/controller", "kind other\n"),
        ("good/hand/controls.d/net", ""),
        ("good/default/type", "bundle"),
        ("good/default/contents.d/web", ""),
        ("good/default/contents.d/hand", ""),
        ("bad/web/type", "longrn"),
    ] {
        folder.write(file, text);
    }
    let said = |words: &[&str], code: i32| {
        let mut command = Command::new(doorward());
        let output = command.arg("services").args(words).current_dir(folder.path()).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
        Json::parse(String::from_utf8_lossy(&output.stdout).trim())
    };
    for (sources, code) in [("bad", 1), ("good", 0)] {
        let one = said(&["compile", "--json", "db", sources], code);
        holds("`doorward services compile --json`", &one);
        assert_eq!(one.text("database"), (code == 0).then_some("db"), "{one:?}");
        assert_eq!(folder.join("db/db").exists(), code == 0);
        let mistakes = one.get("mistakes").unwrap().items();
        assert_eq!(mistakes.is_empty(), code == 0);
        mistakes.iter().for_each(|one| holds("Each of `mistakes`", one));
    }
    let mut again = Command::new(doorward());
    again.args(["services", "compile", "--json", "db", "good"]).current_dir(folder.path());
    let again = again.output().unwrap();
    assert!(again.status.code() == Some(111) && again.stdout.is_empty(), "{again:?}");

    let drawn = said(&["graph", "--json", "good"], 0);
    assert_eq!(drawn, said(&["graph", "--json", "db"], 0));
    drawn.items().iter().for_each(|one| holds("`doorward services graph --json`", one));
    let one = |name: &str| {
        let found = drawn.items().iter().find(|one| one.text("name") == Some(name));
        found.unwrap_or_else(|| panic!("{name} is not in {drawn:?}"))
    };
    let names = |name: &str, field: &str| -> Vec<Json> {
        one(name).get(field).map(Json::items).unwrap_or_default().to_vec()
    };
    let text = |name: &str| vec![Json::Text(name.into())];
    assert_eq!(names("web", "notified_by"), text("net"));
    assert_eq!(names("hand", "starts"), text("net"));
    assert_eq!(names("default", "holds").len(), 2, "{drawn:?}");
    assert_eq!(one("web").text("pipe"), Some("writer"));
    assert_eq!(one("default").text("type"), Some("bundle"));
}

/// Nobody has to try which commands print JSON: each does, or the page says why not.
#[test]
fn every_command_prints_json_or_the_page_says_why_not() {
    let page = page();
    let (_, without) = page.split_once("Commands without `--json`").expect("it is there");
    let commands = without.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let without: Vec<&str> = commands.collect();
    let help = |program: &Path, words: &[&str]| {
        let output = Command::new(program).args(words).arg("--help").output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let mut seen = [0, 0];
    let mut look = |names: &[String], help: &str| {
        let prints = help.contains("--json");
        let is_named = |row: &&str, name: &String| row.contains(&format!("`{name}`"));
        let explained = without.iter().any(|row| names.iter().any(|name| is_named(row, name)));
        assert!(prints != explained, "{names:?}: it prints {prints}, it is explained {explained}");
        seen[usize::from(prints)] += 1;
    };
    let list = Command::new(ward()).arg("--list").output().unwrap().stdout;
    for name in String::from_utf8_lossy(&list).lines().filter(|name| !name.starts_with("s6-")) {
        look(&[name.to_owned(), format!("ward {name}")], &help(ward(), &[name]));
    }
    // Commands stand in help between two lines, and some have others below them.
    let below = |help: &str| -> Vec<String> {
        let Some((_, rest)) = help.split_once("Commands:\n") else { return Vec::new() };
        let lines = rest.lines().take_while(|line| line.starts_with("  "));
        let lines = lines.filter(|line| !line.starts_with("   "));
        let names = lines.filter_map(|line| line.split_whitespace().next());
        names.filter(|name| *name != "help").map(str::to_owned).collect()
    };
    for name in below(&help(doorward(), &[])) {
        let own = help(doorward(), &[&name]);
        let inner = below(&own);
        for verb in &inner {
            look(&[format!("doorward {name} {verb}")], &help(doorward(), &[&name, verb]));
        }
        // Of `vm` both are commands.
        if inner.is_empty() || name == "vm" {
            look(&[format!("doorward {name}")], &own);
        }
    }
    assert!(seen[0] > 15 && seen[1] > 40, "{seen:?}");
}

#[test]
fn the_table_of_devices_is_as_documented() {
    // One that answers, and one that does not.
    let folder = Folder::new("json-status");
    let way = "for word; do host=$last; last=$word; done\ncase $host in a) exec sh -c \"$last\" ;; esac\nexit 255\n";
    folder.write("ssh", way);
    let mut command = Command::new(doorward());
    command.args(["status", "--json", "a", "b"]).env("PATH", e2e::path_with_applets());
    command.env("DOORWARD_SSH", format!("sh {}", folder.join("ssh").display()));
    let output = command.output().unwrap();
    let all = Json::parse(String::from_utf8_lossy(&output.stdout).trim());
    assert_eq!(all.items().len(), 2);
    all.items().iter().for_each(|one| holds("`doorward status --json`", one));
    assert!(all.items()[0].get("version").is_some() && all.items()[1].get("silent").is_some());
    let findings = Command::new(doorward()).args(["doctor", "--json"]).output().unwrap().stdout;
    let findings = Json::parse(String::from_utf8_lossy(&findings).trim());
    findings.items().iter().for_each(|one| holds("`ward doctor --json`", one));
}

#[test]
fn an_import_is_as_documented() {
    let folder = Folder::new("json-import");
    let unit = folder.write("a.service", "[Service]\nExecStart=/bin/true\nPrivateTmp=yes\n");
    let mut command = Command::new(doorward());
    command.args(["import", "systemd", "--json"]).arg(unit).arg("-o").arg(folder.join("made"));
    let json = Json::parse(stdout(&mut command).trim());
    holds("`doorward import --json`", &json);
    for (field, heading) in [("made", "Each of `made`"), ("remarks", "Each of `remarks`")] {
        let items = json.get(field).expect("it holds").items();
        assert!(!items.is_empty());
        items.iter().for_each(|item| holds(heading, item));
    }
}

/// Whoever documents something has it tested: each heading with a table below it is a word of a test.
#[test]
fn every_table_is_held_against_what_is_printed() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = Vec::new();
    for folder in ["tests", "tests/virtual", "src"] {
        let files = std::fs::read_dir(here.join(folder)).unwrap().flatten();
        tests.extend(files.filter_map(|file| std::fs::read_to_string(file.path()).ok()));
    }
    let page = page();
    let mut seen = BTreeSet::new();
    for heading in page.lines().filter(|line| line.starts_with("##")) {
        let heading = heading.trim_start_matches('#').trim();
        // A table is found by its heading.
        assert!(seen.insert(heading), "docs/formats/json.md has {heading} twice");
        let start = page.find(&format!("# {heading}\n")).unwrap();
        let text = page[start..].lines().skip(1).take_while(|line| !line.starts_with('#'));
        let what = text.fold(String::new(), |all, line| all + line + "\n");
        let names = |test: &String, word: &str| test.contains(&format!("\"{word}\""));
        // Of an event: one names the command, and one of those that look at events the event.
        let is_claimed = match heading.split_once("`: `") {
            Some((command, event)) => {
                let (command, event) = (format!("{command}`"), event.trim_end_matches('`'));
                let looks = |test: &&String| test.contains("events");
                tests.iter().any(|test| names(test, &command))
                    && tests.iter().filter(looks).any(|test| names(test, event))
            }
            None => tests.iter().any(|test| names(test, heading)),
        };
        let only_events = !what.contains("| `") && page.contains(&format!("### {heading}: `"));
        assert!(
            only_events || is_claimed,
            "no test holds anything against {heading} of docs/formats/json.md"
        );
    }
    assert!(seen.len() > 40, "{seen:?}");
}
