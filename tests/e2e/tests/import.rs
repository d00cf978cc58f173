//! `doorward import`: what is made of units and scripts, that it compiles, and that it runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::client::Client;
use e2e::device::Device;
use e2e::json::Json;
use e2e::{Folder, applet, doorward};

/// All files below a folder, in their order, each behind its path.
fn listing(folder: &Path, below: &str, text: &mut String) {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("it is a folder")
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in names {
        let (path, shown) = (folder.join(&name), format!("{below}{name}"));
        if path.is_dir() {
            listing(&path, &format!("{shown}/"), text);
            continue;
        }
        text.push_str(&format!("--- {shown}\n{}", fs::read_to_string(&path).unwrap()));
    }
}

#[test]
fn every_case_gives_the_files_beside_it_and_they_compile() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cases/import");
    let mut failed = Vec::new();
    let mut folders: Vec<PathBuf> =
        fs::read_dir(&cases).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    for case in folders {
        let made = Folder::new("imported");
        let words = fs::read_to_string(case.join("args")).unwrap();
        let mut command = Command::new(doorward());
        command.current_dir(&case).arg("import").args(words.split_ascii_whitespace());
        let output = command.arg("-o").arg(made.join("src")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut found = String::from_utf8(output.stderr).unwrap();
        listing(&made.join("src"), "", &mut found);
        // What stands in for others has to be there.
        for (file, text) in [("uplink/type", "oneshot\n"), ("uplink/up", "true\n")] {
            made.write(Path::new("src").join(file), text);
        }
        Client::run(applet("s6-rc-compile").arg(made.join("db")).arg(made.join("src"))).expect(0);
        shells_read_all(&made.join("src"));
        let expected = case.join("expected.txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &found).unwrap();
        } else if fs::read_to_string(&expected).ok().as_deref() != Some(&*found) {
            failed.push(format!("{}:\n{found}", case.display()));
        }
    }
    assert!(failed.is_empty(), "not as expected (UPDATE=1 accepts):\n{}", failed.join("\n"));
}

/// The shell takes each `run`, `finish`, and what is inside of `up` and `down`.
fn shells_read_all(source: &Path) {
    for service in fs::read_dir(source).unwrap() {
        let service = service.unwrap().path();
        for file in ["run", "finish", "up", "down", "reload"] {
            let Ok(bytes) = fs::read(service.join(file)) else { continue };
            let mut script = bytes.clone();
            if !["run", "finish"].contains(&file) {
                let words = model::service::execline::parse(&bytes).expect("it has been compiled");
                script = words.last().map(|word| word.to_vec()).unwrap_or_default();
            }
            let script = String::from_utf8(script).expect("it is text");
            let output = Command::new("sh").args(["-n", "-c", &script]).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{}/{file}: {said}\n{script}", service.display());
        }
    }
}

/// Everything that Debian has put on this machine.
#[test]
fn all_units_of_this_machine_compile() {
    let units = Path::new("/lib/systemd/system");
    assert!(units.is_dir(), "`./setup` installs some (package systemd)");
    let made = Folder::new("imported");
    let mut command = Command::new(doorward());
    command.args(["import", "systemd", "/lib/systemd/system", "-o"]).arg(made.join("src"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.lines().count() > 20, "{said}");
    Client::run(applet("s6-rc-compile").arg(made.join("db")).arg(made.join("src"))).expect(0);
    shells_read_all(&made.join("src"));
}

fn import(device: &Device, words: &[&str]) {
    let mut command = Command::new(doorward());
    command.arg("import").args(words).arg("-o").arg(device.join("src"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// As a person would write it, with paths of the test in it.
fn unit(device: &Device, name: &str, text: &str) -> String {
    let path = device.join("units").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text.replace("@DIR@", device.join("").to_str().unwrap())).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn units_run() {
    let device = Device::new("units");
    let web = unit(
        &device,
        "web@.service",
        "[Unit]\nRequires=prepare.service\nAfter=prepare.service\n\
         ConditionPathExists=@DIR@prepared\n\
         [Service]\nUser=nobody\nGroup=daemon\nSupplementaryGroups=tty\nUMask=0077\n\
         Environment=\"GREETING=it's me\" SIZE=5\nEnvironmentFile=@DIR@environment\n\
         WorkingDirectory=/usr\nLimitNOFILE=77:99\nNice=3\n\
         ExecStartPre=+/bin/sh -c 'echo pre $$(id -un) %i'\n\
         ExecStart=/bin/sh -c 'echo \"$0|$1|$2|$3|$4|$GREETING|$SIZE|$QUOTED|$PWD|$(umask)|$(ulimit -Sn)/$(ulimit -Hn)|$(id -un):$(id -gn):$(id -Gn)|$(nice)|$HOME\"; exec sleep 1000' \
         name${SIZE} $WORDS \"a ${WORDS}\" end\n\
         ExecReload=/bin/kill -USR1 $MAINPID\nKillSignal=SIGQUIT\nRestart=always\n",
    );
    let web = web.replace("web@", "web@eth0");
    fs::write(
        device.join("environment"),
        "# no\nSIZE=6\n WORDS=x y\nQUOTED=\"q $(false) `\"\nbad-name=1\n",
    )
    .unwrap();
    let prepare = unit(
        &device,
        "prepare.service",
        "[Service]\nType=oneshot\nRemainAfterExit=yes\n\
         ExecStart=/bin/touch @DIR@prepared ; -/bin/false\nExecStart=/bin/echo prepared \"with ; quotes\"\n\
         ExecStop=/bin/rm @DIR@prepared\n",
    );
    let once = unit(
        &device,
        "once.service",
        "[Service]\nExecStart=/bin/echo once\nRuntimeDirectory=doorward-import-test\n\
         ExecStopPost=/bin/sh -c 'echo after $$RUNTIME_DIRECTORY'\n",
    );
    let failing = unit(
        &device,
        "failing.service",
        "[Unit]\nStartLimitIntervalSec=60\nStartLimitBurst=3\n\
         [Service]\nExecStart=/bin/sh -c 'echo fails; exit 4'\nRestart=on-failure\nRestartSec=20ms\n",
    );
    let skipped = unit(
        &device,
        "skipped.service",
        "[Unit]\nConditionPathExists=/nowhere\n[Service]\nExecStart=/bin/echo never\nRestart=always\n",
    );
    import(&device, &["systemd", &web, &prepare, &once, &failing, &skipped]);
    device.bundle("default", &["web@eth0"]).start();
    device.wait_log("web@eth0 pre root eth0");
    let groups = "nobody:daemon:daemon tty nogroup";
    let line = format!(
        "web@eth0 name6|x|y|a x y|end|it's me|6|q $(false) `|/usr|0077|77/99|{groups}|3|/nonexistent"
    );
    device.wait_log(&line);
    device.wait_log("prepare prepared with ; quotes");
    assert!(device.join("prepared").exists());
    let status = device.svstat("web@eth0", "up");
    assert_eq!(status.trim(), "true");
    // Each of these ends by itself.
    device.ward("start once");
    device.wait_log("once once");
    device.wait_log("once after /run/doorward-import-test");
    // `finish` takes it away behind that.
    let gone = || (!Path::new("/run/doorward-import-test").exists()).then_some(());
    e2e::wait_for("the end of its folder", e2e::device::PATIENCE, gone);
    device.ward("start failing");
    e2e::wait_for("three deaths", e2e::device::PATIENCE, || {
        let fails = device.log().iter().filter(|line| *line == "failing fails").count();
        (fails == 3 && device.ward("why failing").out.contains("125")).then_some(())
    });
    device.ward("start skipped");
    device.wait_log("skipped not started: it is not so: ConditionPathExists=/nowhere");
    device.ward("stop prepare").expect(0);
    assert!(!device.join("prepared").exists());
    device.stop();
}

#[test]
fn a_service_that_is_not_restarted_can_be_restarted_by_hand() {
    let device = Device::new("hand");
    let plain = unit(&device, "plain.service", "[Service]\nExecStart=/bin/sleep 1000\n");
    import(&device, &["systemd", &plain]);
    device.bundle("default", &["plain"]).start();
    let before = device.wait_pid("plain");
    device.ward("restart plain").expect(0);
    let after = device.wait_pid("plain");
    assert_ne!(before, after);
    device.stop();
}

#[test]
fn scripts_of_procd_run() {
    let device = Device::new("procd");
    let script = unit(
        &device,
        "daemon",
        "#!/bin/sh /etc/rc.common\nSTART=50\nUSE_PROCD=1\nPROG=/bin/sh\nDIR=@DIR@\n\
         start_service() {\n\
         \tmkdir -p \"${DIR}data\" && touch ${DIR}data/here\n\
         \t[ -x \"$PROG\" ] || return 1\n\
         \tprocd_open_instance main\n\
         \tprocd_set_param command $PROG -c 'echo \"$0 $1 $GREETING $(id -un) $(ulimit -Sn)\"; exec sleep 1000'\n\
         \tprocd_append_param command zero \"$DIR\"\n\
         \tprocd_set_param env GREETING='good day'\n\
         \tprocd_set_param user nobody\n\
         \tprocd_set_param limits nofile=\"55 66\"\n\
         \tprocd_set_param pidfile ${DIR}daemon.pid\n\
         \tprocd_set_param respawn\n\
         \tprocd_close_instance\n\
         \tprocd_open_instance other\n\
         \tprocd_set_param command /bin/echo other \"$(hostname)\"\n\
         \tprocd_close_instance\n}\n",
    );
    import(&device, &["procd", &script]);
    device.bundle("default", &["daemon.main"]).start();
    device.wait_log(&format!("daemon.main zero {} good day nobody 55", device.join("").display()));
    assert!(device.join("data/here").exists());
    let pid = fs::read_to_string(device.join("daemon.pid")).unwrap();
    assert_eq!(pid.trim().parse(), Ok(device.wait_pid("daemon.main")));
    // What is not known stops the start, and says so.
    device.ward("start daemon.other");
    e2e::wait_for("the message", e2e::device::PATIENCE, || {
        let said = device.log().join("\n");
        said.contains("line_19: its value is to be set above this line").then_some(())
    });
    device.stop();
}

#[test]
fn the_exit_code_and_the_files_say_what_happened() {
    let folder = Folder::new("import-codes");
    let sound = folder.write("sound.service", "[Service]\nExecStart=/bin/true\nRestart=always\n");
    let partly = folder.write("partly.service", "[Service]\nExecStart=/bin/true\nPrivateTmp=yes\n");
    let timer = folder.write("some.timer", "[Timer]\nOnCalendar=daily\n");
    let run = |words: &[&str]| {
        let mut command = Command::new(doorward());
        Client::run(command.arg("import").args(words).current_dir(folder.path()))
    };
    let (sound, partly) = (sound.to_str().unwrap(), partly.to_str().unwrap());
    run(&["systemd", sound, "-o", "a", "--strict"]).expect(0);
    let said = run(&["systemd", partly, "-o", "b", "--strict"]).expect(1);
    assert!(said.err.contains("partly.service:3: left out: PrivateTmp=yes"), "{}", said.err);
    assert!(said.err.contains("1 setting could not be carried over"), "{}", said.err);
    assert!(folder.join("b/partly/run").exists(), "what could be made is there");
    run(&["systemd", partly, "-o", "c"]).expect(0);
    run(&["systemd", timer.to_str().unwrap(), "-o", "d"]).expect(1);
    // What is there stays as it is, and nothing else is written.
    fs::write(folder.join("a/sound/run"), "mine").unwrap();
    let said = run(&["systemd", partly, sound, "-o", "a"]).expect(111);
    assert!(said.err.contains("are already: sound"), "{}", said.err);
    assert_eq!(fs::read_to_string(folder.join("a/sound/run")).unwrap(), "mine");
    assert!(!folder.join("a/partly").exists());
    run(&["systemd", "nowhere.service"]).expect(111);
    run(&["systemd", sound, "-m", "nothing"]).expect(100);
    run(&["procd"]).expect(100);
    let said = run(&["systemd", partly, "-o", "e", "--json"]).expect(0);
    let json = Json::parse(said.out.trim());
    assert!(said.err.is_empty(), "{}", said.err);
    let text = format!("{json:?}");
    assert!(text.contains("left-out") && text.contains("partly"), "{text}");
}
