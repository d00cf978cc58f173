//! What programs get that init starts or becomes: no descriptor and no
//! blocked signal but those that are meant for them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::machine::{Machine, PATIENCE, executable};
use e2e::process::{alive, send};
use e2e::{Folder, applet, stdout, wait_for};

/// Writes to a file which descriptors are open, and which signals are blocked
/// or ignored.
fn telling(file: &Path) -> String {
    let file = file.display();
    // All by the shell itself: while it starts others, it blocks signals.
    format!(
        "{{ for n in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$n ] && echo $n; done
        while read -r key value; do
            case $key in SigBlk:|SigIgn:) echo $key $value ;; esac
        done </proc/$$/status; }} >{file}.new
        mv {file}.new {file}\n"
    )
}

/// What was told.
fn told(file: &Path) -> (Vec<u32>, String) {
    let text = wait_for("what is told", PATIENCE, || fs::read_to_string(file).ok());
    let (descriptors, signals) = text.split_once("SigBlk").unwrap();
    let numbers = descriptors.split_whitespace().map(|word| word.parse().unwrap());
    let signals = signals.split_whitespace().collect::<Vec<_>>().join(" ");
    (numbers.collect(), signals)
}

#[test]
fn services_scripts_and_what_comes_last_get_what_is_theirs() {
    let folder = Folder::in_memory("handed");
    let script = |name: &str, end: &str| {
        let text = format!("#!/bin/sh\n{}{end}\n", telling(&folder.join(name)));
        folder.write(format!("scripts/{name}"), text)
    };
    let scan = folder.join("scan");
    for (name, end, at) in [
        ("run", "exec sleep 100000", "scan/a/run"),
        ("finish", "", "scan/a/finish"),
        ("signal", "", "scan/.s6-svscan/SIGUSR1"),
        ("last", "", "scan/.s6-svscan/finish"),
    ] {
        let path = folder.join(at);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(script(name, end), &path).unwrap();
        executable(&path);
    }
    folder.write("scan/a/notification-fd", "5\n");
    // Many others, whose descriptors are nobody's business.
    for i in 0..20 {
        let run = folder.write(format!("scan/b{i}/run"), "#!/bin/sh\nexec sleep 100000\n");
        executable(&run);
    }
    let mut init = applet("s6-svscan");
    init.arg(&scan).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut init = init.spawn().unwrap();
    // What any program gets that this test starts.
    let mut usual = Command::new("sh");
    let (_, signals) = told(&{
        let file = folder.join("usual");
        stdout(usual.args(["-c", &telling(&file)]));
        file
    });
    assert!(signals.starts_with(": 0000000000000000 "), "nothing is blocked: {signals}");
    assert_eq!(told(&folder.join("run")), (vec![0, 1, 2, 5], signals.clone()));
    send("USR1", init.id());
    assert_eq!(told(&folder.join("signal")), (vec![0, 1, 2], signals.clone()));
    stdout(applet("s6-svc").args(["-wD", "-T", "60000", "-d"]).arg(scan.join("a")));
    assert_eq!(told(&folder.join("finish")), (vec![0, 1, 2], signals.clone()));
    send("TERM", init.id());
    assert_eq!(told(&folder.join("last")), (vec![0, 1, 2], signals));
    assert_eq!(init.wait().unwrap().code(), Some(0));
}

#[test]
fn init_becomes_no_program_that_is_not_ward() {
    let mut machine = Machine::new("wrong");
    machine.sleeper("web");
    machine.bundle("default", &["web"]);
    let init = machine.start();
    machine.wait_up(&["web"]);
    let web = machine.process("web");
    let text = machine.path("text");
    fs::write(&text, "this is no program\n").unwrap();
    executable(&text);
    let closed = machine.path("closed");
    fs::copy(e2e::ward(), &closed).unwrap();
    fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let path = |name: &str| Path::new(name).to_owned();
    for program in [text, closed, path("/bin/true"), path("/nonexistent"), path("/"), path("ward")]
    {
        let output = applet("reexec").arg("-s").arg(machine.scan()).arg(&program).output().unwrap();
        assert!(!output.status.success(), "{}", program.display());
        // Whoever asks init itself is not believed either.
        let mut asks = os::service::init_client::Client::connect(&machine.init_socket()).unwrap();
        if program != path("/bin/true") {
            let program = program.to_str();
            let _ = asks.ask(&model::service::request::ToInit::Reexec { program });
        }
        std::thread::sleep(Duration::from_millis(20));
        assert!(machine.ended().is_none(), "{}: {}", program.display(), machine.said());
        // And a fault still starts the right one.
        stdout(applet("reexec").args(["--fault", "-s"]).arg(machine.scan()));
    }
    assert!(alive(init));
    assert_eq!(machine.process("web"), web);
}
