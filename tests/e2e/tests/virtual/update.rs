//! Updates of a router in QEMU from this machine: what goes over, what comes back by itself, and what
//! is left when the plug is pulled.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use e2e::dice::Dice;
use e2e::nix::{self, sources, store};
use e2e::vm::{self, LIMIT, Vm};
use e2e::{Folder, doorward, stdout, wait_for};
use serde_json::{Value, json};

/// Modules of the router, with a service that can be changed, and more.
fn modules(seconds: u32, more: &str) -> String {
    modules_of(&sources().join("examples/configuration.nix"), seconds, more)
}

/// The same, where somebody has written something else about the firewall.
fn with_firewall(router: &Router, name: &str, seconds: u32, rules: &str) -> String {
    let example = sources().join("examples/configuration.nix");
    let text = fs::read_to_string(example).expect("it is there");
    let line = "    inner = [ services.int ];\n    outer";
    assert_eq!(text.matches(line).count(), 1, "the firewall of the example");
    let text = text.replace(line, &format!("    {rules}\n    outer"));
    modules_of(&router.folder.write(name, text), seconds, "")
}

fn modules_of(example: &Path, seconds: u32, more: &str) -> String {
    format!(
        "{} ({{ config, pkgs, lib, ... }}: let svc = config.system.service; in {{
           services.moves = pkgs.svc.longrun {{ name = \"moves\"; run = \"exec sleep {seconds}\"; }};
           services.user = pkgs.svc.longrun {{ name = \"user\"; run = \"exec sleep 100000\"; dependencies = [ config.services.moves ]; }};
           {more}
         }})",
        example.display()
    )
}

/// The same as a file, in which the key of trials is let in.
fn configuration(folder: &Folder, name: &str, modules: &str) -> PathBuf {
    let key = stdout(Command::new(doorward()).args(["vm", "key"]));
    let text = format!(
        "{{ imports = [ {modules} ]; users.root.openssh.authorizedKeys.keys = [ \"{}\" ]; }}",
        key.trim()
    );
    folder.write(name, text)
}

/// A router that runs, and what it can be made.
struct Router {
    vm: Vm,
    built: PathBuf,
    folder: Folder,
}

fn vm_on(name: &str, built: &Path) -> Vm {
    let mut vm = Vm::new(name, built);
    vm.option(&["--network", "user"]);
    vm
}

impl Router {
    fn start(name: &str) -> Self {
        let built = vm::build(&modules(100_001, ""), "qemu-x86_64");
        let mut vm = vm_on(name, &built);
        vm.start();
        let router = Self { vm, built, folder: Folder::new(name) };
        wait_for("everything", LIMIT, || vm::all_is_up(&router.vm.ask("s6-rc -da list")));
        router
    }

    /// A command of `doorward` for it.
    fn doorward(&self, name: &str) -> Command {
        // What ssh is told here is told there.
        let ssh = self.vm.ssh("true");
        let words_of_ssh: Vec<&str> = ssh.get_args().filter_map(|word| word.to_str()).collect();
        let end = words_of_ssh.iter().position(|word| *word == "--").expect("it has one");
        let (options, host) = (&words_of_ssh[..end - 1], words_of_ssh[end - 1]);
        let mut command = nix::command(doorward());
        command.env("NIX_SSHOPTS", options.join(" ")).args([name, host]);
        command
    }

    /// `doorward rebuild` of it with these modules.
    fn rebuild(&self, modules: &str, words: &[&str]) -> Command {
        let file = configuration(&self.folder, &format!("{}.nix", words.len()), modules);
        let mut command = self.doorward("rebuild");
        command.arg("--store").arg(store()).args(["-d", "qemu-x86_64", "-I"]);
        command.arg(format!("liminix-config={}", file.display())).args(words);
        command
    }

    /// What is in the flash at this moment: what is left if the power goes now.
    fn snapshot(&self, number: u32, at: usize) -> PathBuf {
        let flash = self.folder.join(format!("flash-{number}-{at}"));
        self.vm.order("stop", json!({}));
        fs::copy(self.vm.flash(), &flash).expect("there is room");
        self.vm.order("cont", json!({}));
        flash
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.vm.ask("ward generation status --json")).expect("JSON")
    }

    fn pids(&self, names: &[&str]) -> Vec<String> {
        let pid = |name: &&str| self.vm.ask(&format!("s6-svstat -o pid /run/service/{name}"));
        names.iter().map(pid).collect()
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn an_update_goes_over_or_comes_back_and_the_exit_code_says_which() {
    let mut router = Router::start("update");
    let were = router.pids(&["dnsmasq", "ssh", "moves", "user"]);
    let doctor = router.vm.ask("ward doctor");
    assert!(doctor.ends_with("nothing is to be done\n"), "{doctor}");

    // What it would do, and nothing is done.
    let plan = router.rebuild(&modules(100_002, ""), &["--dry-run"]).output().expect("it runs");
    assert_eq!(plan.status.code(), Some(0), "{}", text(&plan));
    assert!(text(&plan).contains("services that start again: "), "{}", text(&plan));
    assert!(text(&plan).contains("moves"), "{}", text(&plan));
    assert!(!text(&plan).contains("dnsmasq"), "{}", text(&plan));
    assert_eq!(router.pids(&["moves"]), were[2..3]);

    // One service changes: it and what needs it start again, and others keep their processes.
    let began = Instant::now();
    let update =
        router.rebuild(&modules(100_002, ""), &["--why", "a test"]).output().expect("runs");
    let said = text(&update);
    assert_eq!(update.status.code(), Some(0), "{said}");
    eprintln!("an update of one service: {:?}\n{said}", began.elapsed());
    let are = router.pids(&["dnsmasq", "ssh", "moves", "user"]);
    assert_eq!(are[..2], were[..2], "{said}");
    assert!(are[2] != were[2] && are[3] != were[3], "{said}");
    let status = router.status();
    assert_eq!(status["running"], status["boot"]);
    assert_eq!(status["running"]["number"], 2);
    assert!(router.vm.ask("ward generation show 2").contains("for: a test"));
    assert!(router.vm.ask("ward store verify; echo $?").ends_with("0\n"));
    let kept = status["running"]["path"].clone();

    // ssh does not start any more.
    let broken = "services.ssh = lib.mkForce (svc.ssh.build { dependencies = [ config.services.int config.services.firewall ]; options = [ \"--no-such-option\" ]; });";
    let update = router.rebuild(&modules(100_002, broken), &[]).output().expect("it runs");
    let said = text(&update);
    assert_eq!(update.status.code(), Some(1), "{said}");
    assert!(said.contains("has gone back, and runs generation 2"), "{said}");
    assert!(said.contains("ssh"), "{said}");
    assert_eq!(router.status()["running"]["path"], kept);

    // The rules of the firewall are none that nft understands.
    let wrong = with_firewall(&router, "wrong.nix", 100_002, "rules = \"what is this\";");
    let update = router.rebuild(&wrong, &[]).output().expect("it runs");
    let said = text(&update);
    assert_eq!(update.status.code(), Some(1), "{said}");
    assert!(said.contains("has gone back, and runs generation 2"), "{said}");
    assert!(said.contains("firewall"), "{said}");
    assert!(said.contains("syntax error"), "what nft has said: {said}");
    assert_eq!(router.status()["running"]["path"], kept);
    let rules = router.vm.ask("/nix/store/*-nftables-[0-9]*/bin/nft list ruleset");
    assert!(rules.contains("iifname \"br-lan\" accept"), "the old rules are back: {rules}");

    // They are some, and everything works there, and they let nobody in any more.
    let shut = with_firewall(&router, "shut.nix", 100_002, "inner = [ ];");
    let began = Instant::now();
    let update = router.rebuild(&shut, &["--deadline", "6", "--keep", "1"]).output().expect("runs");
    let said = text(&update);
    assert_eq!(update.status.code(), Some(1), "{said}");
    assert!(said.contains("nobody confirmed it within 6 s"), "{said}");
    assert!(!said.contains("is forgotten"), "what was not kept makes no room: {said}");
    eprintln!("a firewall that lets nobody in, with 6 s to confirm: {:?}", began.elapsed());
    assert_eq!(router.status()["running"]["path"], kept);
    let notice = router.vm.ask("ward generation notice");
    assert!(notice.contains("Generation 5 was tried and is gone again"), "{notice}");

    // The same after a restart: nobody can log in, so it restarts with what it had.
    let update = router.rebuild(&shut, &["--reboot", "--deadline", "5"]);
    let update = { update }.output().expect("it runs");
    let said = text(&update);
    assert_eq!(update.status.code(), Some(1), "{said}");
    assert!(said.contains("has gone back, and runs generation 2"), "{said}");

    // And what works after a restart is kept.
    let words = ["--reboot", "--keep", "2"];
    let update = router.rebuild(&modules(100_003, ""), &words).output().expect("it runs");
    let said = text(&update);
    assert_eq!(update.status.code(), Some(0), "{said}");
    let status = router.status();
    assert_eq!(status["running"], status["boot"]);
    assert_ne!(status["running"]["path"], kept);

    // Of the others the last one that worked is left, and all that was only theirs is gone.
    for number in [1, 3, 4, 5] {
        assert!(said.contains(&format!("generation {number} is forgotten")), "{said}");
    }
    assert!(said.contains("bytes more are free"), "{said}");
    let numbers = |router: &Router| -> Vec<u64> {
        let list = router.vm.ask("ward generation list --json");
        let list: Value = serde_json::from_str(&list).expect("JSON");
        let number = |one: &Value| one["number"].as_u64().expect("a number");
        list.as_array().expect("a list").iter().map(number).collect()
    };
    assert_eq!(numbers(&router), [2, 6]);
    assert!(router.vm.ask("ward store verify; echo $?").ends_with("0\n"));

    // Back by hand, with the cable out: nobody here is asked. And to and fro again.
    let pid = router.pids(&["dnsmasq"]);
    router.vm.ask(
        "(ip link set br-lan down; ward generation rollback; echo $? >/run/went-back; ip link set br-lan up) >/run/said 2>&1 &",
    );
    let went = wait_for("the way back", LIMIT, || {
        let said = router.vm.visit("cat /run/went-back");
        (said.code == 0).then_some(said.out)
    });
    assert_eq!(went, "0\n", "{}", router.vm.ask("cat /run/said"));
    let status = router.status();
    assert_eq!((&status["running"]["path"], &status["boot"]), (&kept, &status["running"]));
    assert_eq!(router.pids(&["dnsmasq"]), pid, "it is the same in both");
    let shown = router.vm.ask("ward generation show 2");
    assert!(shown.contains("for: to go back from generation 6"), "{shown}");
    router.vm.ask("ward generation activate --no-confirm 6");
    assert_eq!(router.status()["running"]["number"], 6);

    // From here as well: what would go, and then it goes.
    let collect = |router: &Router, words: &[&str]| {
        let output = router.doorward("collect").args(words).output().expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        text(&output)
    };
    let dry = collect(&router, &["--keep", "1", "--dry-run"]);
    assert!(dry.contains("generation 2 would be forgotten"), "{dry}");
    let kept = kept.as_str().expect("a path");
    assert!(dry.contains(kept) && dry.contains("would be removed"), "{dry}");
    assert_eq!(numbers(&router), [2, 6]);
    let done = collect(&router, &["--keep", "1"]);
    assert!(done.contains("generation 2 is forgotten") && done.contains(kept), "{done}");
    assert_eq!(numbers(&router), [6]);
    assert_eq!(router.vm.visit(&format!("ls {kept}")).code, 1);
    router.vm.stop();
}

/// How often the power is cut.
fn cuts() -> usize {
    std::env::var("DOORWARD_POWER_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

#[test]
fn wherever_the_plug_is_pulled_the_old_or_the_new_router_comes_up_whole() {
    let mut router = Router::start("cuts");
    let old = router.status()["running"]["path"].as_str().expect("a path").to_owned();
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    let mut dice = Dice(seed.max(1));
    let (mut number, mut paths) = (100_002, vec![old]);
    // Flashes as a power cut leaves them, and the least that has to be on them: by its place in `paths`.
    let mut flashes = Vec::new();
    while flashes.len() < cuts() {
        // Built before, so that all the time goes to what happens on the router.
        let new = modules(number, "");
        let built = router.rebuild(&new, &["--dry-run"]).output().expect("it runs");
        assert!(built.status.success(), "{}", text(&built));
        let mut update = router.rebuild(&new, &[]);
        let mut update =
            update.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        let mut taken = Vec::new();
        while update.try_wait().expect("it can be waited for").is_none() {
            std::thread::sleep(Duration::from_millis(50 + dice.below(400)));
            taken.push(router.snapshot(number, taken.len()));
        }
        assert!(update.wait().expect("it has ended").success(), "nobody disturbed it");
        paths.push(router.status()["running"]["path"].as_str().expect("a path").to_owned());
        // What was said to be done is done; of the moments before some, wherever they fell.
        let last = router.snapshot(number, taken.len());
        flashes.push((last, paths.len() - 1));
        eprintln!("seed {seed}: {} moments in {} updates", flashes.len(), paths.len() - 1);
        while !taken.is_empty() && flashes.len() < cuts() && dice.below(5) > 0 {
            let one = taken.swap_remove(dice.below(taken.len() as u64) as usize);
            flashes.push((one, paths.len() - 2));
        }
        taken.iter().for_each(|flash| fs::remove_file(flash).expect("it is there"));
        number += 1;
    }
    router.vm.stop();
    // Two at a time: a start is much waiting.
    let (built, newest) = (&router.built, AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for half in 0..2 {
            let (flashes, paths, newest) = (&flashes, &paths, &newest);
            scope.spawn(move || {
                for (at, (flash, least)) in flashes.iter().enumerate().filter(|it| it.0 % 2 == half)
                {
                    let found = boot(&mut vm_on(&format!("cut-{at}"), built), flash);
                    let place = paths.iter().position(|path| *path == found);
                    let fits = place.filter(|place| (*least..=*least + 1).contains(place));
                    let place =
                        fits.unwrap_or_else(|| panic!("seed {seed}: cut {at} runs {found}"));
                    newest.fetch_add((place > *least).into(), Relaxed);
                    fs::remove_file(flash).expect("it is there");
                    eprintln!(
                        "seed {seed}: cut {at} runs generation {place} of {least} or {}",
                        least + 1
                    );
                }
            });
        }
    });
    let (all, newest) = (flashes.len(), newest.into_inner());
    let old = all - newest;
    eprintln!(
        "seed {seed}: {all} cuts, {old} with what was there before, {newest} with the new one"
    );
}

/// Boots a flash as the power left it, and gives what the device runs.
fn boot(vm: &mut Vm, flash: &Path) -> String {
    fs::copy(flash, vm.flash()).expect("there is room");
    vm.start();
    // While it still starts, ssh may turn somebody away: whoever updates it comes again, too.
    let status = wait_for("what it runs", LIMIT, || {
        let said = vm.visit("ward generation status --json");
        assert!([0, 255].contains(&said.code), "{}{}", said.out, said.err);
        (said.code == 0).then_some(said.out)
    });
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["running"], status["boot"], "{status}");
    // Whole: all that it needs has the bytes that it came with.
    let verified = vm.visit("ward store verify");
    assert_eq!(verified.code, 0, "{}{}", verified.out, verified.err);
    let trial = vm.ask("ward generation list --json");
    assert!(!trial.contains("\"outcome\":\"trial\""), "{trial}");
    vm.stop();
    status["running"]["path"].as_str().expect("a path").to_owned()
}
