//! Two devices in QEMU, and what their doctors say: what is broken is named, its cure is typed and
//! helps. Then both from here, as a table and as a rollout that stops at the one that goes back.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use e2e::client::{Client, Said};
use e2e::json::Json;
use e2e::nix::{self, prepare_modules, store};
use e2e::vm::{self, LIMIT, Vm, WAY_IN};
use e2e::{Folder, doorward, wait_for};

/// A way in, a watchdog, and a service that ends as long as a file is there.
fn modules(moves: &str, more: &str) -> String {
    format!(
        r#"{WAY_IN} ({{ pkgs, lib, ... }}:
let svc = pkgs.svc; in
{{
  services.moves = svc.longrun {{ name = "moves"; run = "[ ! -e /run/restless ] || exit 7\n{moves}\n"; }};
  services.watchdog = svc.watchdog.build {{ timeout = 20; }};
  {more}
}})"#
    )
}

/// How long a device takes to be well again, at most.
const PATIENCE: Duration = Duration::from_secs(40);

const STAYS: &str = "exec sleep 100001";

struct Street {
    a: Vm,
    b: Vm,
    folder: Folder,
}

/// What one finding says.
#[derive(Debug)]
struct Finding {
    weight: String,
    code: String,
    what: String,
    cure: String,
}

fn findings(said: &str) -> Vec<Finding> {
    let json = Json::parse(said.trim());
    let read = |one: &Json| {
        let text = |field: &str| one.text(field).expect("it has it").to_owned();
        Finding {
            weight: text("weight"),
            code: text("code"),
            what: text("what"),
            cure: text("cure"),
        }
    };
    json.items().iter().map(read).collect()
}

/// Commands of a cure: what stands between backticks.
fn commands(cure: &str) -> Vec<&str> {
    cure.split('`').skip(1).step_by(2).collect()
}

/// The one finding of this code.
#[track_caller]
fn found(vm: &Vm, code: &str) -> Finding {
    // What was just broken may not have been noticed yet.
    wait_for(code, LIMIT, || {
        let said = vm.visit("ward doctor --json");
        findings(&said.out).into_iter().find(|it| it.code == code)
    })
}

#[track_caller]
fn is_well(vm: &Vm) {
    let start = Instant::now();
    loop {
        let said = vm.visit("ward doctor");
        if said.code == 0 && said.out.ends_with("nothing is to be done\n") {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "it is not well:\n{}{}", said.out, said.err);
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Breaks something, reads what the doctor says, types the command of its cure that has `cure` in it,
/// and sees that it has helped. `mend` is what no command can do.
#[track_caller]
fn is_cured(vm: &Vm, breaks: &str, code: &str, what: &str, mend: &str, cure: &str) -> String {
    vm.ask(breaks);
    let finding = found(vm, code);
    assert!(finding.what.contains(what) && finding.weight != "note", "{finding:?}");
    vm.ask(mend);
    let typed = commands(&finding.cure).into_iter().find(|it| it.contains(cure));
    let typed = typed.unwrap_or_else(|| panic!("no {cure:?}: {finding:?}"));
    let said = vm.visit(typed).expect(0).out;
    is_well(vm);
    said
}

impl Street {
    fn new() -> Self {
        prepare_modules();
        let built = vm::build(&modules(STAYS, ""), "qemu-x86_64");
        let start = |name: &str| {
            let mut vm = Vm::new(&format!("doctor-{name}"), &built);
            vm.option(&["--network", "user"]);
            vm.run();
            vm
        };
        let (a, b) = (start("a"), start("b"));
        let mut text = String::new();
        for (name, vm) in [("a", &a), ("b", &b)] {
            let ssh = vm.ssh("true");
            let words: Vec<&str> = ssh.get_args().filter_map(|word| word.to_str()).collect();
            let behind =
                |option: &str| words.windows(2).find(|it| it[0] == option).expect("there")[1];
            text += &format!(
                "Host {name}\n HostName 127.0.0.1\n User root\n Port {}\n IdentityFile {}\n",
                behind("-p"),
                behind("-i")
            );
        }
        text += "Host nobody\n HostName 127.0.0.1\n Port 1\n\
                 Host *\n StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n LogLevel ERROR\n";
        let folder = Folder::new("street");
        folder.write("ssh", text);
        for vm in [&a, &b] {
            is_well(vm);
        }
        Self { a, b, folder }
    }

    /// A configuration as a file.
    fn configuration(&self, name: &str, moves: &str, more: &str) -> PathBuf {
        self.folder.write(name, vm::configuration(&modules(moves, more)))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = nix::command(doorward());
        command.env("NIX_SSHOPTS", format!("-F {}", self.folder.join("ssh").display()));
        command.args(words);
        command
    }

    fn run(&self, words: &[&str]) -> Said {
        Client::run(&mut self.command(words))
    }

    /// The same of a configuration.
    fn with(&self, words: &[&str], configuration: &PathBuf) -> Said {
        let mut command = self.command(words);
        command.arg("-c").arg(configuration).args(["-d", "qemu-x86_64", "--store"]).arg(store());
        Client::run(&mut command)
    }
}

#[test]
fn what_is_broken_is_said_and_its_cure_helps() {
    let mut street = Street::new();
    let vm = &street.a;
    assert!(vm.ask("ward doctor").contains("note     no signatures are wanted"));

    // Room, services, and who looks after them.
    let fill = "dd if=/dev/urandom of=/persist/big bs=1k count=$(df -k /persist | awk 'END { print $4 - 250 }') || true";
    vm.ask(fill);
    let full = found(vm, "space");
    assert!(full.what.starts_with("/persist (jffs2) is "), "{full:?}");
    let large = vm.ask(commands(&full.cure)[0]);
    let mut last = large.lines().rev();
    assert!(last.next().is_some_and(|line| line.ends_with("\t/persist")), "{large}");
    assert!(last.next().is_some_and(|line| line.ends_with("\t/persist/big")), "{large}");
    vm.ask("rm /persist/big");
    is_well(vm);

    vm.ask("touch /run/restless; s6-svc -r /run/service/moves; s6-svwait -t 60000 -D /run/service/moves");
    wait_for("deaths", LIMIT, || {
        findings(&vm.visit("ward doctor --json").out)
            .iter()
            .find(|it| it.code == "restarts")
            .map(drop)
    });
    is_cured(vm, "true", "restarts", "moves has died ", "rm /run/restless", "s6-svdt-clear");
    is_cured(vm, "s6-svc -d /run/service/moves", "service", "moves is not", "true", "ward restart");
    is_cured(vm, "ward stop moves", "stopped", "brings up: moves", "true", "ward start");
    vm.ask("ward stop watchdog");
    assert_eq!(found(vm, "watchdog").weight, "note");
    is_cured(vm, "true", "stopped", "brings up: watchdog", "true", "ward start");
    let stop = "kill -STOP $(pidof ward-manager)";
    is_cured(vm, stop, "manager", "does not answer", "true", "kill -9");
    let away = "mv /run/log/current /run/log/away";
    is_cured(vm, away, "log", "nothing keeps", "true", "kill -9");

    // The clock, and what is older than what is installed.
    is_cured(vm, "date -s '1970-01-02 03:04'", "clock", "was not set", "true", "date -s");
    let replace =
        "ward=$(readlink -f $(which ward)); cp $ward /run/ward; mount --bind /run/ward $ward";
    is_cured(vm, replace, "init", "before it was replaced", "true", "ward reexec");
    let other = "cp -r $(readlink -f /etc/s6-rc/compiled/current) /run/db; s6-rc-update /run/db";
    is_cured(vm, other, "database", "older database", "true", "s6-rc-update");
    let modules_of = "modules=$(readlink -f /run/current-system)/modules";
    let bind = format!(
        "{modules_of}; mkdir /run/m; printf 'vermagic=6.99 SMP' >/run/m/x.ko; mount --bind /run/m $modules"
    );
    vm.ask(&bind);
    assert!(found(vm, "kernel").what.contains("the modules are for 6.99"));
    vm.ask(&format!("{modules_of}; umount $modules"));
    is_well(vm);

    // From here: out of date, and the cure of that is a whole command.
    let next = street.configuration("next.nix", "exec sleep 100002", "");
    let base = street.configuration("base.nix", STAYS, "");
    let of_a = |said: &Said| -> Vec<Finding> {
        let all = findings(&said.out).into_iter();
        all.filter(|it| {
            it.weight != "note" && (it.what.starts_with("a") || it.what.starts_with("n"))
        })
        .collect()
    };
    assert!(of_a(&street.with(&["doctor", "--json", "a"], &base)).is_empty());
    let said = of_a(&street.with(&["doctor", "--json", "a"], &next));
    assert!(said.len() == 1 && said[0].code == "out-of-date", "{said:?}");
    let cure: Vec<&str> = commands(&said[0].cure)[0].split(' ').collect();
    assert_eq!(cure[0], "doorward");
    street.run(&cure[1..]).expect(0);
    assert!(
        of_a(&street.with(&["doctor", "--json", "a"], &next)).is_empty(),
        "services that were told to end"
    );
    let said = of_a(&street.run(&["doctor", "--json", "nobody"]).expect(1));
    assert!(said.len() == 1 && said[0].what.starts_with("nobody: cannot be reached: "), "{said:?}");

    // Trials: what nobody has confirmed, what somebody wanted back, and what is not kept anywhere.
    let trial = "ward generation activate --detach 1; sleep 2";
    is_cured(vm, trial, "unconfirmed", "not confirmed yet", "true", "generation confirm");
    let trial = "ward generation activate --detach 2; sleep 2";
    is_cured(vm, trial, "unconfirmed", "not confirmed yet", "true", "generation rollback");
    let other = "ln -sfn $(readlink /boot/generations/2) /boot/system";
    is_cured(vm, other, "unconfirmed", "was never confirmed", "true", "generation activate");

    // Many: the first goes back, and the others are not touched.
    street.folder.write("routers", "[first]\na\n[rest]\nb\n");
    let inventory = street.folder.join("routers").display().to_string();
    let rollout = ["rebuild", "--inventory", &inventory, "--soak", "0"];
    let dies = street.configuration("dies.nix", "exit 3", "");
    let said = street.with(&rollout, &dies).expect(1);
    assert!(
        said.err.contains("a has gone back") && said.err.contains("1 not begun"),
        "{}",
        said.err
    );
    let said = street.run(&["status", "a", "b"]).expect(1);
    let lines: Vec<&str> = said.lines();
    assert!(lines[1].starts_with("a       8/8  1 "), "{}", said.out);
    assert!(
        lines[1].contains("was tried, and did not work: moves ends again and again"),
        "{}",
        said.out
    );
    assert!(lines[2].starts_with("b       8/8  - ") && !lines[2].contains(": "), "{}", said.out);
    let said = is_cured(vm, "true", "update-failed", "did not work", "true", "generation delete");
    assert!(said.contains("is forgotten"), "{said}");

    // Root without a password, words for the kernel, and keys from then on: all is said, and the next
    // update is signed and has neither.
    let public = {
        let (secret, public) = (street.folder.join("secret"), street.folder.join("public"));
        let mut make = nix::command("nix-store");
        make.args(["--generate-binary-cache-key", "street-1"]).arg(secret).arg(&public);
        e2e::stdout(&mut make);
        std::fs::read_to_string(public).expect("it was made")
    };
    let keys = format!("updates.trustedKeys = [ \"{}\" ];", public.trim());
    let open =
        format!("{keys} users.root.passwd = lib.mkForce \"\"; boot.commandLine = [ \"seen=1\" ];");
    let open = street.configuration("open.nix", STAYS, &open);
    let said = street.with(&["rebuild", "a"], &open).expect(0);
    let warning = "words for the kernel come with `doorward reflash`, not with an update: seen=1\n";
    assert!(said.err.contains(warning) || said.out.contains(warning), "{said:?}");
    let said = findings(&vm.visit("ward doctor --json").expect(1).out);
    let codes: Vec<&str> = said.iter().map(|it| it.code.as_str()).collect();
    assert_eq!(codes, ["password", "unsigned", "command-line"], "{said:?}");
    let good = street.configuration("good.nix", "exec sleep 100003", &keys);
    let said = street.with(&rollout, &good).expect(1);
    assert!(said.err.contains("not signed by a key that this device trusts"), "{}", said.err);
    let secret = street.folder.join("secret").display().to_string();
    let said = street.with(&[&rollout[..], &["--sign", &secret]].concat(), &good).expect(0);
    assert!(said.err.contains("2 of 2 updated"), "{}", said.err);
    for vm in [&street.a, &street.b] {
        assert_eq!(vm.ask("ward doctor"), "nothing is to be done\n");
    }
    assert_eq!(street.run(&["status", "a", "b"]).expect(0).lines().len(), 3);

    // Keys that cannot be read: those of the generation before can.
    vm.ask("echo nonsense >/run/keys; mount --bind /run/keys $(readlink -f /etc/doorward/trusted-keys)");
    let damaged = found(vm, "keys");
    assert!(damaged.weight == "bad" && damaged.what.contains("cannot be read"), "{damaged:?}");
    vm.visit(commands(&damaged.cure)[0]).expect(0);
    let codes = || -> Vec<String> {
        findings(&vm.visit("ward doctor --json").out).into_iter().map(|it| it.code).collect()
    };
    wait_for("the generation before", LIMIT, || {
        (codes() == ["password", "unsigned", "command-line"]).then_some(())
    });

    // The live directory is gone.
    let vm = &mut street.b;
    vm.ask("mv /run/s6-rc /run/away");
    let gone = found(vm, "no-services");
    assert_eq!((gone.weight.as_str(), commands(&gone.cure)[0]), ("bad", "reboot"));
    vm.reboot();
    is_well(vm);

    street.b.cut_power();
    let said = street.run(&["status", "a", "b"]).expect(1);
    assert!(
        said.lines()[2].starts_with("b ") && said.out.contains("cannot be reached"),
        "{}",
        said.out
    );
    street.a.stop();
}
