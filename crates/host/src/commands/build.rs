//! `doorward build`: calls Nix as a person would, with what it needs, and says how large it became.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use cli::{Exit, Failure};
use serde_json::Value;

use super::packages;
use crate::nix::call::{self, Nix};
use crate::places;
use crate::steps::closure::grouped;

pub fn command() -> Command {
    let words = |name: &'static str| Arg::new(name).value_parser(value_parser!(OsString));
    Command::new("build")
        .about("Build what a configuration gives for a device")
        .long_about(
            "Builds what a configuration gives for a device, with Nix. It understands the \
             arguments of nix-build, gets the packages that are missing, and says how much of the \
             flash is taken. docs/guide/configuration.md tells how to write a configuration.",
        )
        .arg(
            words("attribute")
                .short('A')
                .long("attr")
                .value_name("NAME")
                .action(ArgAction::Append)
                .help("outputs.NAME or pkgs.NAME [default: outputs.default]"),
        )
        .arg(
            words("out-link")
                .short('o')
                .long("out-link")
                .value_name("LINK")
                .default_value("result")
                .help("The link to what was built"),
        )
        .arg(
            Arg::new("no-out-link")
                .long("no-out-link")
                .action(ArgAction::SetTrue)
                .help("Make no link"),
        )
        .args(what())
        .arg(
            words("NIX")
                .num_args(0..)
                .last(true)
                .help("Further arguments for nix-build, behind --"),
        )
}

/// What [`what`] has read, as words again.
pub fn again(matches: &ArgMatches) -> Vec<OsString> {
    let mut words = Vec::new();
    for (name, option) in [("configuration", "-c"), ("device", "-d"), ("include", "-I")] {
        for value in matches.get_many::<OsString>(name).into_iter().flatten() {
            words.extend([option.into(), value.clone()]);
        }
    }
    for name in ["arg", "argstr"] {
        let all: Vec<&OsString> = matches.get_many(name).into_iter().flatten().collect();
        for pair in all.chunks(2) {
            words.push(format!("--{name}").into());
            words.extend(pair.iter().map(|word| (*word).clone()));
        }
    }
    if let Some(store) = matches.get_one::<PathBuf>("store") {
        words.extend(["--store".into(), store.clone().into()]);
    }
    words
}

/// What says what is built: the same for all that build.
pub fn what() -> Vec<Arg> {
    let words = |name: &'static str| Arg::new(name).value_parser(value_parser!(OsString));
    vec![
        words("configuration")
            .short('c')
            .long("configuration")
            .value_name("FILE")
            .help("The configuration: the same as -I doorward-config=FILE"),
        words("device")
            .short('d')
            .long("device")
            .value_name("DEVICE")
            .help("The device: a name in devices/, or a folder [default: qemu-x86_64]"),
        words("include")
            .short('I')
            .value_name("NAME=PATH")
            .action(ArgAction::Append)
            .help("Where <NAME> is found, such as liminix-config"),
        words("arg")
            .long("arg")
            .value_names(["NAME", "EXPRESSION"])
            .num_args(2)
            .action(ArgAction::Append)
            .help("An argument for default.nix"),
        words("argstr")
            .long("argstr")
            .value_names(["NAME", "TEXT"])
            .num_args(2)
            .action(ArgAction::Append)
            .help("The same, as text"),
        Arg::new("store")
            .long("store")
            .value_name("DIRECTORY")
            .value_parser(value_parser!(PathBuf))
            .help("Build into a store of its own there [default: /nix where one may write to it]"),
    ]
}

/// Nix as it is called for what the arguments say, once all is there that a build is made of.
pub struct Build {
    pub nix: Nix,
    expressions: PathBuf,
    words: Vec<OsString>,
}

impl Build {
    pub fn prepare(matches: &ArgMatches) -> Result<Self, Failure> {
        let expressions = places::expressions()?;
        let words = self::words(matches, &expressions)?;
        let has_nixpkgs = call::has_nixpkgs(&includes(matches));
        let store = match matches.get_one::<PathBuf>("store") {
            Some(store) => Some(std::path::absolute(store).map_err(Failure::refused)?),
            None => None,
        };
        let nix = Nix::new(&expressions, store, has_nixpkgs);
        if !has_nixpkgs {
            fetch_packages(&nix, &expressions, &words)?;
        }
        Ok(Self { nix, expressions, words })
    }

    /// `nix-build` of what is at hand.
    fn command(&self) -> std::process::Command {
        let mut command = self.nix.command("nix-build");
        command.arg(&self.expressions).args(&self.words);
        command
    }

    /// The store path that one attribute would have, without building it.
    pub fn path_of(&self, attribute: &str) -> Result<String, Failure> {
        let mut command = self.nix.command("nix-instantiate");
        command.arg(&self.expressions).args(&self.words).args(["-A", attribute]);
        let recipe = self.nix.ask(&mut command)?;
        let recipe = recipe.lines().next().unwrap_or_default().trim().to_owned();
        let paths =
            self.nix.ask(self.nix.command("nix-store").args(["-q", "--outputs", &recipe]))?;
        let path = paths.lines().next().map(|path| path.trim().to_owned());
        path.ok_or_else(|| Failure::refused("Nix names no path"))
    }

    /// Builds one attribute, and gives its store path.
    pub fn one(&self, attribute: &str) -> Result<String, Failure> {
        let mut command = self.command();
        command.args(["-A", attribute, "--no-out-link"]);
        let built = self.nix.build(&mut command)?;
        built.into_iter().next().ok_or_else(|| Failure::refused("Nix has built nothing"))
    }
}

/// Builds one output, says how much it takes, and where it lies.
pub fn output(matches: &ArgMatches, name: &str) -> Result<PathBuf, Failure> {
    let build = Build::prepare(matches)?;
    let path = build.one(name)?;
    tell_sizes(&build.nix, &build.expressions, &build.words, std::slice::from_ref(&path))?;
    Ok(build.nix.on_disk(&path))
}

pub fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let build = Build::prepare(matches)?;
    let Build { nix, expressions, words } = &build;
    let mut attributes: Vec<OsString> = values(matches, "attribute");
    if attributes.is_empty() {
        attributes.push("outputs.default".into());
    }
    let mut command = build.command();
    command.args(values(matches, "NIX"));
    for attribute in &attributes {
        command.arg("-A").arg(attribute);
    }
    // A link into another store would lead nowhere: those are made here.
    let link = (!matches.get_flag("no-out-link")).then(|| values(matches, "out-link").remove(0));
    match &link {
        Some(link) if nix.store.is_none() => command.arg("-o").arg(link),
        _ => command.arg("--no-out-link"),
    };
    let built = nix.build(&mut command)?;
    for (number, path) in built.iter().enumerate() {
        let place = nix.on_disk(path);
        println!("{}", place.display());
        if let (Some(link), Some(_)) = (&link, &nix.store) {
            make_link(link, number, &place)?;
        }
    }
    tell_sizes(nix, expressions, words, &built)?;
    Ok(Exit::DONE)
}

fn values(matches: &ArgMatches, name: &str) -> Vec<OsString> {
    matches.get_many(name).into_iter().flatten().cloned().collect()
}

fn includes(matches: &ArgMatches) -> Vec<OsString> {
    values(matches, "include").into_iter().flat_map(|word| ["-I".into(), word]).collect()
}

/// The arguments that all calls of Nix have in common.
fn words(matches: &ArgMatches, expressions: &Path) -> Result<Vec<OsString>, Failure> {
    let mut words = includes(matches);
    if let Some(file) = matches.get_one::<OsString>("configuration") {
        let file = fs::canonicalize(file).map_err(|error| {
            Failure::usage(format!("cannot find the configuration {}: {error}", file.display()))
        })?;
        let mut word = OsString::from("doorward-config=");
        word.push(file);
        words.extend(["-I".into(), word]);
    }
    if let Some(device) = matches.get_one::<OsString>("device") {
        words.extend(device_words(device, expressions)?);
    }
    for (option, name) in [("--arg", "arg"), ("--argstr", "argstr")] {
        for pair in values(matches, name).chunks(2) {
            words.push(option.into());
            words.extend_from_slice(pair);
        }
    }
    Ok(words)
}

/// A device by its name, or by where its folder is.
fn device_words(device: &OsString, expressions: &Path) -> Result<[OsString; 3], Failure> {
    let name = device.to_string_lossy();
    if expressions.join("devices").join(&*name).is_dir() && !name.contains('/') {
        return Ok(["--argstr".into(), "deviceName".into(), device.clone()]);
    }
    match fs::canonicalize(device) {
        Ok(folder) if folder.join("default.nix").exists() || folder.is_file() => {
            let path = Value::from(folder.to_string_lossy()).to_string();
            Ok(["--arg".into(), "device".into(), format!("import (/. + {path})").into()])
        }
        _ => {
            let entries = fs::read_dir(expressions.join("devices")).into_iter().flatten().flatten();
            let folders = entries.filter(|entry| entry.path().is_dir());
            let mut known: Vec<String> =
                folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            known.sort();
            Err(Failure::usage(format!("there is no device {name}")).hint(format!(
                "there are {}; a folder with a default.nix is one too",
                known.join(", ")
            )))
        }
    }
}

/// Debian's packages for the build machine and the device, if they are not there yet.
fn fetch_packages(nix: &Nix, expressions: &Path, words: &[OsString]) -> Result<(), Failure> {
    let answer = evaluate(nix, expressions, words, "processor.debian")?;
    let device: String = serde_json::from_str(&answer)
        .map_err(|error| Failure::refused(format!("cannot read what Nix said: {error}")))?;
    let mut architectures = vec!["amd64"];
    if device != "amd64" {
        architectures.push(&device);
    }
    packages::fetch(expressions, &architectures, false)
}

fn make_link(link: &OsString, number: usize, place: &Path) -> Result<(), Failure> {
    let mut name = link.clone();
    if number > 0 {
        name.push(format!("-{}", number + 1));
    }
    let partial = PathBuf::from({
        let mut partial = name.clone();
        partial.push(".partial");
        partial
    });
    let refused = |error| Failure::refused(format!("cannot make {}: {error}", name.display()));
    let _ = fs::remove_file(&partial);
    symlink(place, &partial).map_err(refused)?;
    fs::rename(&partial, &name).map_err(refused)
}

/// How the store paths of images end (nix/modules/outputs.nix), and for which partition they are.
const IMAGES: [(&str, &str); 4] = [
    ("-rootfs.jffs2", "rootfs"),
    ("-rootfs.squashfs", "rootfs"),
    ("-kernel", "kernel"),
    ("-firmware.bin", "firmware"),
];

/// Says how large each result is; an image beside the partition that it goes to.
fn tell_sizes(
    nix: &Nix,
    expressions: &Path,
    words: &[OsString],
    built: &[String],
) -> Result<(), Failure> {
    for path in built {
        let place = nix.on_disk(path);
        let about = fs::metadata(&place).map_err(|e| Failure::refused(format!("{path}: {e}")))?;
        if let Some((_, partition)) = IMAGES.iter().find(|(end, _)| path.ends_with(end)) {
            let used = about.len();
            match partition_size(nix, expressions, words, partition) {
                Some(size) => eprintln!(
                    "  {} of the {} bytes of the partition {partition} ({} %)",
                    grouped(used),
                    grouped(size),
                    (used * 100).div_ceil(size.max(1))
                ),
                None => eprintln!("  {} bytes", grouped(used)),
            }
        } else if about.is_dir() {
            let (count, size) = closure_size(nix, path)?;
            eprintln!("  {} bytes in {count} store paths, with all that it needs", grouped(size));
        }
    }
    Ok(())
}

/// The place for it, if the device's flash is laid out like that.
fn partition_size(nix: &Nix, expressions: &Path, words: &[OsString], name: &str) -> Option<u64> {
    let attribute = format!("config.hardware.flash.partitions.{name}.size");
    evaluate(nix, expressions, words, &attribute).ok()?.trim().parse().ok()
}

/// An attribute of default.nix, as JSON.
fn evaluate(
    nix: &Nix,
    expressions: &Path,
    words: &[OsString],
    attribute: &str,
) -> Result<String, Failure> {
    let mut command = nix.command("nix-instantiate");
    command.args(["--eval", "--json", "-A", attribute]).arg(expressions).args(words);
    nix.ask(&mut command)
}

fn closure_size(nix: &Nix, path: &str) -> Result<(usize, u64), Failure> {
    let paths = nix.ask(nix.command("nix-store").args(["-qR", path]))?;
    let sizes = nix.ask(nix.command("nix-store").args(["-q", "--size"]).args(paths.lines()))?;
    Ok((paths.lines().count(), sizes.lines().filter_map(|size| size.parse::<u64>().ok()).sum()))
}
