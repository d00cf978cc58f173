//! What people type and what they read (e2e/src/transcript.rs): the texts in tests/cases/transcripts are run,
//! and what comes out is what stands there. `TRANSCRIPTS=write cargo test -p e2e --test transcripts` writes them
//! anew; read the difference before it is committed.
//!
//! Files named `ward-…` are run in a pretend router, `doorward-…` in an empty folder, and others by the tests that
//! have what those need.

use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::client::Client;
use e2e::device::Device;
use e2e::transcript::{self, compare, files, filled, script};
use e2e::{Folder, applets, debian, doorward, ward};
use model::digest::Digest;
use model::flash::manifest::{Manifest, Part};

/// `web` needs `net` and `rules`; the start of `rules` takes a while; `dies` and `fails` do what they are
/// called.
fn router() -> Device {
    let device = Device::new("transcripts");
    device.longrun("net", "echo up and away\nexec sleep 100000").oneshot("rules", "sleep 0.3");
    device.sleeper("web").needs("web", &["net", "rules"]);
    device.oneshot("fails", "sh -c \"echo '<3>it is too late'; exit 3\"");
    device.sleeper("user").needs("user", &["fails"]);
    device.longrun("dies", "echo good bye\nexit 7").set("dies", "restart-wait", "60000");
    device.sleeper("spare").bundle("default", &["web"]).bundle("all", &["net", "rules", "web"]);
    device
}

#[test]
fn on_a_router() {
    let sources = router();
    for path in files("ward-") {
        let text = fs::read_to_string(&path).unwrap();
        let mut command = Command::new(doorward());
        command.args(["run", "--ward"]).arg(ward()).arg(sources.join("src"));
        let said = Client::run(command.args(["sh", "-c", &script(&text)]));
        assert_eq!(said.code, 0, "{}: {}\n{}", path.display(), said.out, said.err);
        compare(&path, &text, &filled(&text, &said.out));
    }
}

/// Debian's programs print what ours do.
#[test]
fn tools_of_s6() {
    debian("s6-envdir");
    for programs in [applets(), Path::new("/usr/bin")] {
        let folder = Folder::new("transcripts-s6");
        transcript::check("s6-tools.txt", |script| {
            let mut command = Command::new("/bin/sh");
            command.current_dir(folder.path()).args(["-c", script]);
            command.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
            Client::run(&mut command).expect(0).out
        });
    }
}

#[test]
fn on_the_build_machine() {
    for path in files("doorward-") {
        let folder = Folder::new("transcripts");
        folder.write("image", image());
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        transcript::here(&name, folder.path(), &[], |_| {});
    }
}

/// One that is whole.
fn image() -> Vec<u8> {
    let mut image: Vec<u8> = (0..0x10000_u32).map(|at| (at / 7) as u8).collect();
    let part = Part {
        name: "rootfs".into(),
        offset: 0,
        size: 0x20000,
        bytes: 0x10000,
        digest: Digest::of(&image),
        rest_erased: false,
    };
    let manifest = Manifest {
        device: "Example".into(),
        generation: "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-system".into(),
        partition: "firmware".into(),
        size: 0x20000,
        erase_bytes: 0x10000,
        bytes: 0x10000,
        parts: vec![part],
        signature: None,
    };
    image.extend(manifest.trailer().expect("a manifest"));
    image
}

/// Whoever makes a command shows how it speaks.
#[test]
fn every_command_has_a_transcript() {
    let mut typed = String::new();
    for path in files("") {
        let text = fs::read_to_string(path).unwrap();
        text.lines().filter(|line| line.starts_with("$ ")).for_each(|line| {
            typed += &format!("{line} \n");
        });
    }
    let said = |command: &mut Command| Client::run(command).expect(0).out;
    let mut commands: Vec<String> = Vec::new();
    for name in said(Command::new(ward()).arg("--list")).lines() {
        let linked = ["halt", "poweroff", "reboot", "flashcp", "levitate", "min-collect-garbage"];
        let before = if name.starts_with("s6-") || linked.contains(&name) { "" } else { "ward " };
        commands.push(format!("{before}{name}"));
    }
    assert!(commands.len() > 70, "{commands:?}");
    // The words of these, as they say them.
    for (command, separator) in [("generation", "|"), ("store", " | ")] {
        let help = said(Command::new(ward()).args([command, "--help"]));
        let usage = help.lines().skip_while(|line| !line.starts_with("usage: ")).take(3);
        let usage: String = usage.collect::<Vec<_>>().join(" ");
        let words = usage.split_once(&format!("ward {command} ")).expect("it has words").1;
        let words = words.split(separator).filter_map(|word| word.split_whitespace().next());
        let words: Vec<&str> = words.filter(|word| word.starts_with(char::is_alphabetic)).collect();
        assert!(words.len() >= 6, "{words:?}");
        commands.extend(words.into_iter().map(|word| format!("ward {command} {word}")));
    }
    let below = |words: &[&str]| -> Vec<String> {
        let help = said(Command::new(doorward()).args(words).arg("--help"));
        let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        let lines = lines.take_while(|line| !line.is_empty());
        let names = lines.filter_map(|line| line.split_whitespace().next());
        // The same word below each verb is clap's, and says the same.
        names.filter(|name| *name != "help").map(str::to_owned).collect()
    };
    let verbs = below(&[]);
    assert!(verbs.len() >= 15, "{verbs:?}");
    for verb in verbs {
        let more = below(&[&verb]);
        commands.extend(more.iter().map(|more| format!("doorward {verb} {more}")));
        commands.push(format!("doorward {verb}"));
    }
    commands.push("doorward help".to_owned());
    let shown = |command: &str| typed.contains(&format!(" {command} "));
    let without: Vec<&String> = commands.iter().filter(|one| !shown(one)).collect();
    assert!(without.is_empty(), "without a transcript: {without:?}");
}
