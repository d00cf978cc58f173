//! `run`, `bench` and `sim`: chores that hand over to a program of the workspace.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::shell::{Outcome, cargo, failed, root, run, target};
use crate::ward;

/// Boots the router of examples/: as a device in QEMU, or in namespaces of this machine.
pub fn chore(words: &[String]) -> Outcome {
    let (machine, words) = match words {
        [machine, words @ ..] if machine != "--" => (machine.as_str(), words),
        words => ("qemu", words),
    };
    let words = words.strip_prefix(&["--".to_owned()]).unwrap_or(words);
    match machine {
        "qemu" => in_qemu(words),
        "namespace" => in_namespaces(words),
        other => Err(failed(format!("there is no machine {other}: there are qemu and namespace"))),
    }
}

/// Builds the firmware of examples/configuration.nix, with the key of trials, and runs it.
fn in_qemu(words: &[String]) -> Outcome {
    ward::release(ward::HERE)?;
    let doorward = ward::builder()?;
    let key = Command::new(&doorward).args(["vm", "key"]).output();
    let key =
        key.map_err(|error| failed(format!("cannot start {}: {error}", doorward.display())))?;
    if !key.status.success() {
        return Err(failed(String::from_utf8_lossy(&key.stderr).trim()));
    }
    let folder = target().join("vm");
    let configuration = folder.join("configuration.nix");
    let text = format!(
        "# The example, with the key of trials.\n{{\n  imports = [ {} ];\n  \
         users.root.openssh.authorizedKeys.keys = [ \"{}\" ];\n}}\n",
        root().join("examples/configuration.nix").display(),
        String::from_utf8_lossy(&key.stdout).trim()
    );
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&configuration, text))
        .map_err(|error| failed(format!("{}: {error}", configuration.display())))?;
    let built = folder.join("router");
    let mut build = Command::new(&doorward);
    build.arg("build").arg("-c").arg(&configuration);
    // Its path is nothing that a person needs here.
    build.args(["-A", "outputs.vm", "-o"]).arg(&built).stdout(Stdio::null());
    run(&mut build)?;
    let mut vm = Command::new(&doorward);
    vm.arg("vm").arg(built.join("vm.json"));
    if !words.is_empty() {
        vm.arg("--").args(words);
    }
    // In the place of this program: an interrupt from the keyboard is for it alone to obey.
    let error = vm.exec();
    Err(failed(format!("cannot start {}: {error}", doorward.display())))
}

/// Builds `ward` for the device and `doorward` for here, and boots `examples/router`.
fn in_namespaces(words: &[String]) -> Outcome {
    let ward = ward::release(ward::HERE)?;
    let mut doorward = Command::new(ward::builder()?);
    doorward.arg("run").arg("--ward").arg(ward);
    doorward.arg("examples/router").args(words);
    run(&mut doorward)
}

/// Builds what builds are made with, and fetches the packages; with words also `doorward build`.
pub fn build(words: &[String]) -> Outcome {
    ward::release(ward::HERE)?;
    let doorward = ward::builder()?;
    if words.is_empty() {
        run(Command::new(&doorward).args(["packages", "fetch", "amd64"]))?;
        println!("{}: ready; docs/guide/configuration.md goes on from here", doorward.display());
        return Ok(());
    }
    run(Command::new(&doorward).arg("build").args(words))
}

/// Runs the bench, if this workspace has one.
pub fn bench(words: &[String]) -> Outcome {
    if !root().join("tests/bench/Cargo.toml").exists() {
        return Err(failed("there is no tests/bench"));
    }
    let ward = ward::release(ward::HERE)?;
    run(cargo(None).args(["build", "--quiet", "--release", "--package", "host"]))?;
    let mut bench = cargo(None);
    bench.args(["run", "--quiet", "--release", "--package", "bench", "--"]).args(words);
    run(bench.env("WARD", ward).env("DOORWARD", target().join("release/doorward")))
}

/// Plays the simulation: many times the seeds of `make test`, or one of them as
/// a story. SIM_PROFILE is what it is built as, where somebody has no minute for a quick one.
pub fn sim(words: &[String]) -> Outcome {
    let usage = || failed("usage: cargo xtask sim [--seed N] [--times N] [TEST]");
    let mut command = cargo(None);
    let profile = std::env::var("SIM_PROFILE").unwrap_or_else(|_| "play".into());
    command.args(["test", "--profile", &profile, "--package", "sim", "--tests"]);
    let (mut seed, mut times, mut test) = (None, 20, None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|n| n.parse::<u64>().ok()).ok_or_else(usage);
        match word.as_str() {
            "--seed" => seed = Some(number()?),
            "--times" => times = number()?,
            option if option.starts_with('-') => return Err(usage()),
            name => test = Some(name),
        }
    }
    command.env("SEEDS", times.to_string()).arg("--").args(test);
    if let Some(seed) = seed {
        command.env("SEED", seed.to_string()).env("TELL", "1").arg("--nocapture");
    }
    run(&mut command)
}
