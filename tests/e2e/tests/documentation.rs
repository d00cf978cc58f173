//! Every command that the documentation shows is typed, page by page, and prints what it shows.
//!
//! `xtask/pages` reads the marks that say where. Commands of one page follow each other in one shell,
//! in a folder with copies of tests/cases/documentation; the tutorial's router is that of all pages
//! that want one in QEMU. What pages leave to other tests, those run (`e2e::shown`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::machine::executable;
use e2e::shell::Shell;
use e2e::shown::matches;
use e2e::{Folder, applets, doorward, nix, stdout, ward};
use pages::{Block, Machine, Mark, Step, blocks, steps};

/// How long any command may take, with a build in it, and others that want the same processor.
const LIMIT: Duration = Duration::from_secs(300);
/// Makes the router of all pages, and is over when its last block is.
const TUTORIAL: &str = "docs/tutorial.md";

/// What was typed where, and what was wrong with that.
#[derive(Default)]
struct Report {
    typed: usize,
    wrong: Vec<String>,
}

impl Report {
    fn end(self, least: usize) {
        assert!(self.wrong.is_empty(), "\n{}\n", self.wrong.join("\n\n"));
        assert!(self.typed >= least, "only {} commands were typed", self.typed);
    }
}

/// The blocks of all pages that are typed, page by page: of those that want the router, or of all others.
fn wanted(router: bool) -> BTreeMap<PathBuf, Vec<Block>> {
    let mut found = BTreeMap::new();
    let only = std::env::var("PAGE").ok();
    for path in pages::all(nix::sources()).expect("the pages can be read") {
        if only.as_ref().is_some_and(|only| !path.display().to_string().contains(only)) {
            continue;
        }
        let text = fs::read_to_string(nix::sources().join(&path)).expect("a page can be read");
        let typed = |block: &Block| matches!(block.mark, Mark::Run { .. }) && block.has_commands();
        let mut typed: Vec<Block> = blocks(&text).into_iter().filter(typed).collect();
        let has_router = typed.iter().any(|block| {
            matches!(block.mark, Mark::Run { on: Machine::Router | Machine::BesideRouter, .. })
        });
        typed.retain(|_| has_router == router);
        if !typed.is_empty() {
            found.insert(path, typed);
        }
    }
    found
}

/// The machine at hand, as somebody has it who uses Doorward: their home, and their programs.
struct Desk {
    home: PathBuf,
    programs: PathBuf,
    _folder: Folder,
    root: PathBuf,
}

impl Desk {
    fn new(what: &str) -> Self {
        // Not a new one each time: the key of trials is in every device that is built.
        let kept = nix::target().join("documentation");
        fs::create_dir_all(kept.join("cache")).expect("a folder can be made");
        let home = kept.join(what);
        let _ = fs::remove_dir_all(&home);
        fs::create_dir(&home).expect("a folder can be made");
        std::os::unix::fs::symlink("../cache", home.join(".cache")).expect("a link");
        let folder = Folder::new(what);
        let programs = folder.join("programs");
        fs::create_dir(&programs).expect("a folder can be made");
        for name in ["doorward", "liminix-rebuild", "min-copy-closure", "min-collect-garbage"] {
            std::os::unix::fs::symlink(doorward(), programs.join(name)).expect("a link");
        }
        // The router of the tutorial, by whatever name a page has for a device.
        let any = home.join("ssh-any");
        let call = format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", any.display());
        let own = "#!/bin/sh\nprogram=${0##*/}\nexec /usr/bin/$program --store \"$DOORWARD_STORE\" \"$@\"\n";
        for (name, text) in [("ssh", call.as_str()), ("nix-build", own)] {
            executable(&folder.write(format!("programs/{name}"), text));
        }
        let root = folder.join("desk");
        Self { home, programs, root, _folder: folder }
    }

    /// A shell in a folder of its own, with what pages take for granted.
    fn shell(&self, page: &Path) -> Shell {
        let folder = self.root.join(page.display().to_string().replace('/', "-"));
        if !folder.exists() {
            self.lay_out(&folder);
        }
        let mut shell = self.command("/bin/sh");
        // What is said to be called in Doorward's own folder is called there.
        let inside = page == Path::new(TUTORIAL) || page == Path::new("README.md");
        shell.current_dir(if inside { nix::sources() } else { &folder });
        Shell::start(&mut shell)
    }

    fn lay_out(&self, folder: &Path) {
        fs::create_dir_all(folder).expect("a folder can be made");
        let cases = nix::sources().join("tests/cases/documentation/.");
        stdout(Command::new("cp").arg("-r").arg(cases).arg(folder));
        let key = stdout(self.command("doorward").args(["vm", "key"]));
        std::os::unix::fs::symlink(ward(), folder.join("ward")).expect("a link");
        let device = folder.join("mydevice/default.nix");
        let text = fs::read_to_string(&device).expect("it was copied");
        let devices = nix::sources().join("devices").display().to_string();
        fs::write(&device, text.replace("DEVICES", &devices)).expect("a file can be written");
        let own = folder.join("my-configuration.nix");
        let text = fs::read_to_string(&own).expect("it was copied");
        fs::write(&own, text.replace("KEY", key.trim())).expect("a file can be written");
    }

    fn command(&self, program: &str) -> Command {
        let mut command = nix::command(program);
        let before = std::env::var("PATH").unwrap_or_default();
        let applets = applets().display();
        command.env("PATH", format!("{}:{before}:{applets}", self.programs.display()));
        if program == "doorward" {
            command = nix::command(self.programs.join(program));
        }
        let home = std::env::var("HOME").unwrap_or_default();
        let of_user = |variable: &str, otherwise: &str| {
            std::env::var(variable).unwrap_or_else(|_| format!("{home}/{otherwise}"))
        };
        // Programs of this machine go on finding what is theirs.
        command.env("CARGO_HOME", of_user("CARGO_HOME", ".cargo"));
        command.env("RUSTUP_HOME", of_user("RUSTUP_HOME", ".rustup"));
        command.env("PYTHONUSERBASE", of_user("PYTHONUSERBASE", ".local"));
        command.env("HOME", &self.home).env_remove("XDG_CACHE_HOME");
        command.env("DOORWARD_STORE", nix::store());
        command.env("DOORWARD", nix::sources());
        command.env("MAKEFLAGS", "").env_remove("MAKELEVEL");
        command
    }

    /// Lets all names that pages have for devices lead to the router that has just answered.
    fn take_router(&self) {
        let own = self.home.join(".cache/doorward/vm/ssh");
        let text = fs::read_to_string(&own).expect("the router has a name for ssh");
        let (before, rest) = text.split_once("Host ").expect("it names a host");
        let (_, rest) = rest.split_once('\n').expect("and tells of it");
        fs::write(self.home.join("ssh-any"), format!("{before}Host *\n{rest}")).expect("a file");
    }
}

/// Types the blocks of a page, one after the other.
struct Typist<'a> {
    desk: &'a Desk,
    page: PathBuf,
    here: Option<Shell>,
    namespace: Option<Shell>,
    /// What goes on.
    stays: Vec<Shell>,
}

impl<'a> Typist<'a> {
    fn new(desk: &'a Desk, page: &Path) -> Self {
        let page = page.to_owned();
        Self { desk, page, here: None, namespace: None, stays: Vec::new() }
    }

    fn block(&mut self, block: &Block, report: &mut Report) {
        let Mark::Run { on, exits, stays } = block.mark else { return };
        let all = steps(block);
        for (at, step) in all.iter().enumerate() {
            report.typed += 1;
            let is_last = at + 1 == all.len();
            let expected = if is_last { exits.into() } else { 0 };
            if stays && is_last {
                let mut shell = self.desk.shell(&self.page);
                let lines = step.expected.clone().unwrap_or_default();
                shell.run_until(&step.command, |said| matches(&lines, said), LIMIT);
                self.stays.push(shell);
                continue;
            }
            let (said, code) = self.step(on, step);
            let shown = step.expected.as_ref().is_none_or(|lines| matches(lines, &said));
            if code != expected || !shown {
                let mut text = format!("{}:{}: {}\n", self.page.display(), step.line, step.command);
                if code != expected {
                    text += &format!("ended with {code}, and should with {expected}\n");
                }
                if let (false, Some(lines)) = (shown, &step.expected) {
                    text += &format!("should print\n  {}\n", lines.join("\n  "));
                }
                report.wrong.push(text + &format!("printed\n  {}", said.join("\n  ")));
            }
        }
    }

    fn step(&mut self, on: Machine, step: &Step) -> (Vec<String>, i32) {
        let on_router = match on {
            Machine::Router => true,
            Machine::Here | Machine::BesideRouter => step.on_device,
            Machine::Namespace => false,
        };
        let (desk, page) = (self.desk, &self.page);
        if on_router {
            // The shell over there is the one of whoever logs in.
            let here = self.here.get_or_insert_with(|| desk.shell(page));
            let command = format!(". /etc/profile\n{}", step.command);
            return here.run(&format!("ssh root@router {}", quoted(&command)), LIMIT);
        }
        match on {
            // The line that makes the machine, as a page shows it.
            Machine::Namespace if step.expected.is_some() && !step.on_device => {
                let mut command = desk.command("/bin/sh");
                command
                    .current_dir(nix::sources())
                    .args(["-c", &format!("exec 2>&1; {}", step.command)]);
                let mut namespace = Shell::start(&mut command);
                let lines = step.expected.clone().unwrap_or_default();
                let said = namespace.read_until(|said| matches(&lines, said), LIMIT);
                self.namespace = Some(namespace);
                (said, 0)
            }
            Machine::Namespace => {
                let namespace = self.namespace.get_or_insert_with(|| {
                    let mut command = Command::new(doorward());
                    command.args(["run", "--ward"]).arg(ward());
                    command.arg(nix::sources().join("examples/router")).arg("sh");
                    Shell::start(&mut command)
                });
                namespace.run(&step.command, LIMIT)
            }
            _ => self.here.get_or_insert_with(|| desk.shell(page)).run(&step.command, LIMIT),
        }
    }
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[test]
fn commands_for_this_machine_and_for_services_in_namespaces_do_what_pages_say() {
    let desk = Desk::new("pages");
    let mut report = Report::default();
    let mut all = wanted(false);
    all.remove(Path::new(TUTORIAL));
    for (page, blocks) in all {
        let mut typist = Typist::new(&desk, &page);
        blocks.iter().for_each(|block| typist.block(block, &mut report));
    }
    report.end(if std::env::var_os("PAGE").is_some() { 0 } else { 60 });
}

#[test]
fn the_tutorial_and_all_commands_for_a_router_do_what_pages_say() {
    let desk = Desk::new("router-pages");
    let mut report = Report::default();
    let mut others = wanted(true);
    others.remove(Path::new(TUTORIAL));
    let text = fs::read_to_string(nix::sources().join(TUTORIAL)).expect("the tutorial is there");
    let typed = |block: &Block| matches!(block.mark, Mark::Run { .. }) && block.has_commands();
    let tutorial: Vec<Block> = blocks(&text).into_iter().filter(typed).collect();
    let (end, tutorial) = tutorial.split_last().expect("the tutorial has commands");
    let mut reader = Typist::new(&desk, Path::new(TUTORIAL));
    for block in tutorial {
        reader.block(block, &mut report);
        if !reader.stays.is_empty() {
            desk.take_router();
        }
    }
    for (page, blocks) in others {
        let mut typist = Typist::new(&desk, &page);
        blocks.iter().for_each(|block| typist.block(block, &mut report));
    }
    reader.block(end, &mut report);
    let ended = reader.stays.iter_mut().all(|shell| shell.wait(Duration::from_secs(30)));
    report.end(if std::env::var_os("PAGE").is_some() { 0 } else { 20 });
    assert!(ended, "the router is still there at the end of the tutorial");
}
