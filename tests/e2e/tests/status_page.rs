//! `ward status-page`: what it shows, and the numbers that it has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use e2e::alone::alone;
use e2e::device::signal;
use e2e::house::House;
use e2e::page::{ADDRESS, PATIENCE, Served, answer, get, house, say, talk};
use e2e::{applet, wait_for};
use rustix::process::Signal;

/// The values of an exposition, by name and labels. It is read as the text format 0.0.4 has it, and
/// anything else is a mistake.
#[track_caller]
fn metrics() -> BTreeMap<String, f64> {
    let answer = get("/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("Content-Type: text/plain; version=0.0.4"), "{}", answer.head);
    let (mut types, mut helps) = (BTreeSet::new(), BTreeSet::new());
    let (mut current, mut values) = (String::new(), BTreeMap::new());
    for line in answer.body.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a name and a text");
            assert!(helps.insert(name.to_owned()) && !help.is_empty(), "{line}");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a kind");
            assert!(matches!(kind, "gauge" | "counter"), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(types.insert(name.to_owned()) && helps.contains(name), "{line}");
            current = name.to_owned();
            continue;
        }
        let end = line.find(['{', ' ']).expect("a value");
        let name = &line[..end];
        assert!(name == current && name.starts_with("doorward_"), "{line} is not of {current}");
        let mut rest = &line[end..];
        if let Some(mut labels) = rest.strip_prefix('{') {
            loop {
                let (label, text) = labels.split_once("=\"").expect("a label");
                assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
                let mut escaped = false;
                let end = text.find(|c| {
                    let is_end = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    is_end
                });
                labels = &text[end.expect("the end of a label") + 1..];
                match labels.split_at(1) {
                    (",", more) => labels = more,
                    ("}", more) => break rest = more,
                    _ => panic!("{line}"),
                }
            }
        }
        let value = rest.strip_prefix(' ').expect("a value").parse().expect("a number");
        let key = line[..line.len() - rest.len()].strip_prefix("doorward_").unwrap().to_owned();
        assert!(values.insert(key, value).is_none(), "{line} is there twice");
    }
    assert!(answer.body.ends_with('\n'));
    values
}

/// `promtool check metrics`, where there is one.
fn ask_promtool() {
    let Ok(mut promtool) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
    else {
        return eprintln!("not shown here: there is no promtool; the package prometheus has it");
    };
    let mut input = promtool.stdin.take().expect("it is piped");
    input.write_all(get("/metrics").body.as_bytes()).expect("it reads");
    drop(input);
    let said = promtool.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && text.is_empty(), "{text}");
}

#[test]
fn the_page_shows_services_and_their_causes() {
    if !alone("the_page_shows_services_and_their_causes") {
        return;
    }
    let device = house("page");
    let _served = Served::start(&device, &[ADDRESS]);
    let page = get("/");
    assert_eq!(page.status, 200);
    page.has("All is as it should be; 2 of 5 services are up").lacks("files say");
    page.has("<a href=\"/service?name=net\">net</a> <b class=\"good\">up</b>");
    for part in ["Content-Security-Policy: default-src 'none'; ", "no-store", "nosniff"] {
        assert!(page.head.contains(part), "{}", page.head);
    }
    device.ward("start web").expect(1);
    let failed = || Some(get("/")).filter(|page| page.body.contains("not as it should be"));
    let page = wait_for("the failure on the page", PATIENCE, failed);
    page.has("2 not as it should be").has("its script exited 3").has("it needs rules");
    let why = get("/service?name=web");
    why.has("<h1 class=\"bad\">web is failed</h1>").has("rules</a>").has("exited 3");
    why.has("somebody asked");
    assert_eq!(get("/service?name=nonsense").status, 404);
    assert_eq!(get("/service").status, 404);
    get("/service?name=default").has("<h1>default</h1>").has("net</a>");
    // As `ward chart` has it.
    let chart = serde_json::from_str::<serde_json::Value>(&device.ward("chart --json").out);
    let chart = chart.expect("it is JSON");
    let count = chart["services"].as_array().expect("services").len();
    page.has(&format!("remembers: {count} services in "));
    assert_eq!(page.body.matches("<rect class=\"wait\"").count(), count);
    // The same as for programs.
    let (page, status) = (get("/"), device.status());
    for (name, one) in &status {
        let word = one.text("phase").expect("it has one");
        let expected = format!("name={name}\">{name}</a> <b class=\"");
        let line = page.body.split("id=\"services\"").nth(1).expect("the tree");
        let line = line.split(&expected).nth(1).unwrap_or_else(|| panic!("no {name}"));
        let shown = line.split(['>', '<']).nth(1);
        assert_eq!(shown, Some(word), "{name}");
    }
    // Without the manager it is what files say; and again what it says, once it is back.
    let manager = device.manager_pid();
    signal(manager, Signal::STOP);
    let stale = || Some(get("/")).filter(|page| page.body.contains("this is what files say"));
    let begun = Instant::now();
    wait_for("files", PATIENCE, stale).has("the manager is away").has("net</a>");
    assert!(begun.elapsed() < Duration::from_secs(8), "it waits for no manager");
    signal(manager, Signal::KILL);
    signal(manager, Signal::CONT);
    let heard = || (!get("/").body.contains("files say")).then_some(());
    wait_for("the manager", PATIENCE, heard);
    assert!(get("/page.css").head.contains("text/css"));
    assert!(get("/page.js").head.contains("text/javascript"));
    assert_eq!(get("/favicon.ico").status, 404);
    let head = say(format!("HEAD / HTTP/1.1\r\nHost: {ADDRESS}\r\n\r\n").as_bytes()).unwrap();
    assert!(head.body.is_empty() && !head.head.contains("Content-Length: 0"), "{head:?}");
}

#[test]
fn controllers_and_their_conditions_are_shown() {
    let house = House::new("page-controllers");
    for name in ["wan", "spare"] {
        house.longrun(name, "echo >&3; exec sleep 100000").set(name, "notification-fd", "3\n");
    }
    house.bundle("default", &["uplink"]);
    house.controller("round-robin", "uplink", "", &[("wan", "order 1\n"), ("spare", "order 2\n")]);
    house.boot("ip link set lo up");
    house.wait_up("wan", true);
    let mut served = house.inside(applet("ward").get_program().to_str().expect("a path"));
    served.args(["status-page", "-r", "1", "-l"]).arg(house.live());
    served.arg("-d").arg(house.join("logs")).arg(ADDRESS);
    let _served = Served::run(served);
    let ask = |path: &str| {
        // By a client inside, as nobody else is there.
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
        );
        let output = house.inside("bash").args(["-c", &script]).output().expect("it runs");
        answer(&output.stdout[..]).expect("an answer")
    };
    let shown = || Some(ask("/")).filter(|page| page.body.contains("it serves"));
    let page = wait_for("who serves", PATIENCE, shown);
    page.has("<h2>Controllers</h2>").has("<i>round-robin</i>").has("✓</b> turn: it serves");
    page.has("✗</b> turn: in reserve");
    let numbers = ask("/metrics");
    numbers.has("doorward_condition{controller=\"uplink\",service=\"wan\",label=\"turn\"} 1");
    numbers.has("doorward_condition{controller=\"uplink\",service=\"spare\",label=\"turn\"} 0");
}

#[test]
fn the_log_is_shown_as_text_and_goes_on_where_it_was_read() {
    if !alone("the_log_is_shown_as_text_and_goes_on_where_it_was_read") {
        return;
    }
    let device = house("page-log");
    let _served = Served::start(&device, &[ADDRESS]);
    talk(&device, b"<3>first\n<script>alert(1)</script>\n\"'&\x1b[31m \xff \xe2\x80\xae\n");
    let seen = |text: &'static str| {
        wait_for(text, PATIENCE, || {
            Some(get("/log?service=talk")).filter(|page| page.body.contains(text))
        })
    };
    let page = seen("alert(1)");
    page.has("&lt;script&gt;alert(1)&lt;/script&gt;").lacks("<script>alert");
    page.has("&quot;&#39;&amp;\\x1b[31m \\xff \\xe2\\x80\\xae</p>").has("<p class=\"e\">");
    page.has("<b>talk</b> first").lacks("&lt;3&gt;").has("<option selected>talk</option>");
    let next = |page: &e2e::page::Answer| {
        let next = page.body.split("data-next=\"").nth(1).and_then(|it| it.split('"').next());
        next.expect("it goes on").replace("&amp;", "&")
    };
    // Nothing is new, then something is, and only that comes.
    let from = next(&page);
    assert!(from.contains("&from="), "{from}");
    get(&from).lacks("<p>").lacks("data-all").lacks("<p class=\"e\"");
    talk(&device, b"second\n");
    device.ward("restart net").expect(0);
    let news = wait_for("the second line", PATIENCE, || {
        Some(get(&from)).filter(|page| page.body.contains("second"))
    });
    news.lacks("first").lacks("data-all");
    assert_ne!(next(&news), from);
    get(&next(&news)).lacks("second");
    // From no place, and from one that is gone, all is shown.
    for place in ["nonsense", "0123456789abcdef%200123456789abcdef%2010", "%00"] {
        get(&format!("/log?service=talk&from={place}")).has("data-all").has("second");
    }
    get("/service?name=talk").has("<b>talk</b> second");
    // More than is shown at once: the newest.
    let many: String = (0..2_000).map(|at| format!("line {at} {}\n", "x".repeat(500))).collect();
    talk(&device, many.as_bytes());
    let page = seen("line 1999 ");
    page.lacks("line 1000 ");
    assert!(page.body.len() < 100_000, "{}", page.body.len());
    let long = [b"long ".to_vec(), vec![b'"'; 8_000], b"\n".to_vec()].concat();
    talk(&device, &long);
    let page = seen("long &quot;");
    page.has("&quot;…</p>");
}

#[test]
fn numbers_are_as_prometheus_reads_them() {
    if !alone("numbers_are_as_prometheus_reads_them") {
        return;
    }
    let device = house("page-numbers");
    let _served = Served::start(&device, &[ADDRESS]);
    let numbers = metrics();
    let number =
        |name: &str| *numbers.get(name).unwrap_or_else(|| panic!("no {name}: {numbers:#?}"));
    let of =
        |name: &str, service: &str| format!("{name}{{service=\"{service}\",type=\"longrun\"}}");
    assert_eq!(number(&of("service_up", "net")), 1.0);
    assert_eq!(number(&of("service_up", "web")), 0.0);
    assert_eq!(number(&of("service_restarts_total", "net")), 0.0);
    assert_eq!(number("manager_up"), 1.0);
    assert_eq!(number("log_readable"), 1.0);
    assert_eq!(number("trial{phase=\"none\"}"), 0.0);
    assert!(number("memory_bytes{kind=\"total\"}") > number("memory_bytes{kind=\"available\"}"));
    assert!(numbers.keys().any(|name| name.starts_with("filesystem_free_bytes{")));
    ask_promtool();
    // The guide tells of each.
    let guide = e2e::nix::sources().join("docs/guide/status-page.md");
    let guide = fs::read_to_string(guide).expect("it can be read");
    for name in numbers.keys() {
        let name = name.split('{').next().expect("a name");
        let is_told = guide.contains(&format!("`doorward_{name}`"));
        assert!(is_told, "the guide has no {name}");
    }
    // A death, and lines.
    signal(device.wait_pid("net"), Signal::KILL);
    talk(&device, "line\n".repeat(1_000).as_bytes());
    let lines = "log_lines_total{service=\"talk\"}";
    let counted = |numbers: &BTreeMap<String, f64>| {
        numbers.get(lines) == Some(&1_000.0)
            && numbers[&of("service_restarts_total", "net")] == 1.0
            && numbers[&of("service_up", "net")] == 1.0
    };
    let numbers = wait_for("the numbers", PATIENCE, || Some(metrics()).filter(counted));
    assert!(numbers[&of("service_phase_seconds", "net")] < 60.0);
    // People are told as well, although all is well again.
    get("/").has(", restarts: 1, it was killed by signal 9 before</i>");
    // Counted on, not again.
    assert_eq!(metrics()[lines], 1_000.0);
    device.ward("start web").expect(1);
    let failed = of("service_failed", "web");
    wait_for("the failure", PATIENCE, || (metrics()[&failed] == 1.0).then_some(()));
    // `ward log` counts the same.
    let all = Command::new("sh")
        .args(["-c", "cat \"$1\"/@* \"$1\"/current 2>/dev/null | grep -c ' talk '", "sh"])
        .arg(device.join("logs"))
        .output();
    let all = String::from_utf8(all.expect("it runs").stdout).expect("a number");
    assert_eq!(all.trim(), "1000");
}

#[test]
fn wrong_words_say_what_is_missing() {
    for (words, code, text) in [
        (&[][..], 100, "a place to listen at"),
        (&["nowhere"][..], 100, "is no place to listen at"),
        (&["192.168.8.1"][..], 100, "is no place to listen at"),
        (&["--nonsense", ADDRESS][..], 100, "has no option"),
        (&["/proc/nonsense/socket"][..], 111, "cannot listen at /proc/nonsense/socket"),
    ] {
        let said = e2e::client::Client::run(applet("ward").arg("status-page").args(words));
        assert!(said.code == code && said.err.contains(text), "{words:?}: {said:?}");
    }
}
