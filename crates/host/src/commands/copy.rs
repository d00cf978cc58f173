//! `doorward copy`, which people also know as `min-copy-closure`: brings store paths to a device.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use cli::{Exit, Failure};
use model::deploy::store_path::{STORE, StorePath};
use model::deploy::transfer::is_root_name;
use model::deploy::trust::SigningKey;
use serde_json::json;

use crate::copy::line::Target;
use crate::copy::plan::shown;
use crate::copy::progress::Progress;
use crate::copy::send::{self, Stopped, Wish};
use crate::copy::{closure, plain};
use crate::nix::call::Nix;
use crate::places;

pub fn command() -> Command {
    Command::new("copy")
        .about("Copy store paths, and all they need, to a device over ssh")
        .after_help(
            "Only what the device lacks is sent, as a difference to what it has where that is smaller. A\n\
             path is in its store when it is whole and written to its disk, and what it needs is there\n\
             before it. A copy that is cut off goes on where it was.\n\n\
             `DOORWARD_SSH` is called instead of `ssh`; `NIX_SSHOPTS` are further words for it.",
        )
        .arg(
            Arg::new("keep")
                .long("keep")
                .value_name("NAME")
                .help("Have the (first) path stay there under this name, whatever is collected"),
        )
        .args(arguments())
}

/// `doorward install`: the same, and the programs are on everybody's PATH there from then on.
pub fn install() -> Command {
    Command::new("install")
        .about("Copy packages to a device, and have their programs found there")
        .after_help(
            "It is `doorward copy` of packages that stay, whatever is collected: each under its name, in\n\
             the place of an older one. Whoever logs in has their programs on the PATH. `ward store forget\n\
             NAME` on the device takes one back.",
        )
        .args(arguments())
}

fn arguments() -> Vec<Arg> {
    Command::new("")
        .arg(Arg::new("DEVICE").required(true).help("[USER@]HOST, as ssh has it"))
        .arg(
            Arg::new("PATH")
                .required(true)
                .num_args(1..)
                .value_parser(value_parser!(PathBuf))
                .help("Store paths, or links to some, such as `result`"),
        )
        .arg(flag("dry-run", "Only print what would be sent"))
        .arg(flag("json", "Print what happens as JSON, an event a line"))
        .arg(sign())
        .arg(
            Arg::new("retries")
                .long("retries")
                .value_name("COUNT")
                .default_value("5")
                .value_parser(value_parser!(u32))
                .help("How often a connection that is cut is made again, without getting on"),
        )
        .arg(
            Arg::new("receiver")
                .long("receiver")
                .value_name("COMMAND")
                .default_value("ward store receive")
                .help("What is called on the device"),
        )
        .arg(
            Arg::new("store")
                .long("store")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .help("The store of this machine, where that is not /nix"),
        )
        .get_arguments()
        .cloned()
        .collect()
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

pub fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let name = matches.get_one::<String>("keep").cloned();
    copy(matches, |paths| match name {
        Some(name) if is_root_name(&name) => Ok(vec![(name, paths[0].clone())]),
        Some(name) => Err(Failure::usage(format!("{name:?} can be no name of what is kept"))),
        None => Ok(Vec::new()),
    })
}

/// Packages stay by their names without versions.
pub fn run_install(matches: &ArgMatches) -> Result<Exit, Failure> {
    copy(matches, |paths| {
        let name = |path: &StorePath| {
            Some(path.stem()).filter(|stem| is_root_name(stem)).unwrap_or(path.name()).to_owned()
        };
        Ok(paths.iter().map(|path| (name(path), path.clone())).collect())
    })
}

/// `keep` says which of the paths stay, and by which names.
fn copy(
    matches: &ArgMatches,
    keep: impl FnOnce(&[StorePath]) -> Result<Vec<(String, StorePath)>, Failure>,
) -> Result<Exit, Failure> {
    let mut target = Target::named(matches.get_one::<String>("DEVICE").expect("it is required"))?;
    target.receiver.clone_from(matches.get_one("receiver").expect("it has a default"));
    let store = matches.get_one::<PathBuf>("store").cloned();
    // It calls Nix, and builds nothing.
    let here = places::expressions().unwrap_or_else(|_| PathBuf::from("/"));
    let nix = Nix::new(&here, store, true);
    let root = nix.store.clone().unwrap_or_else(|| "/".into());
    let named: Vec<&PathBuf> = matches.get_many("PATH").into_iter().flatten().collect();
    let paths: Vec<StorePath> =
        named.into_iter().map(|path| store_path(path, &root)).collect::<Result<_, _>>()?;
    let full: Vec<String> = paths.iter().map(|path| format!("{STORE}/{path}")).collect();
    let key = matches.get_one::<PathBuf>("sign").map(|file| signing_key(file)).transpose()?;
    let keep = keep(&paths)?;
    let mut progress = Progress::new(matches.get_flag("json"));
    let mut wish = Wish {
        target,
        nix: &nix,
        root: &root,
        closure: closure::closure(&nix, &full)?,
        key,
        keep,
        dry_run: matches.get_flag("dry-run"),
        retries: *matches.get_one("retries").expect("it has a default"),
    };
    bring(&mut wish, &mut progress).map(|_| Exit::DONE)
}

/// Does it, and tells how it went.
pub fn bring(wish: &mut Wish<'_>, progress: &mut Progress) -> Result<send::Sent, Failure> {
    let outcome = match send::run(wish, progress) {
        Err(Stopped::NoWard) => {
            progress.event("plain", json!({}));
            progress.say("doorward: there is no ward on the device: a plain copy, in one piece");
            let done = plain::copy(&wish.target, wish.root, &wish.closure, wish.dry_run);
            done.map(|(paths, size)| send::Sent { paths, bytes: size, size })
        }
        Err(Stopped::Failure(failure)) => Err(failure),
        Ok(sent) => Ok(sent),
    };
    match &outcome {
        Ok(sent) => {
            progress.event(
                "done",
                json!({ "paths": sent.paths, "bytes": sent.bytes, "size": sent.size }),
            );
            if !wish.dry_run {
                progress.say(&match sent.paths {
                    0 => "doorward: everything is there already".into(),
                    count => format!(
                        "doorward: {count} paths of {} sent as {} in {:.1} s",
                        shown(sent.size),
                        shown(sent.bytes),
                        progress.seconds()
                    ),
                });
            }
        }
        Err(failure) => progress.event("failed", json!({ "why": failure.to_string() })),
    }
    outcome
}
/// The store path that a file or link lies in.
fn store_path(path: &Path, root: &Path) -> Result<StorePath, Failure> {
    let wrong = |why: &dyn std::fmt::Display| {
        Failure::usage(format!("{} is no store path: {why}", path.display()))
    };
    // One of a store elsewhere is not where its name says.
    let text = path.to_string_lossy();
    if let Ok(found) = StorePath::of(&text) {
        return Ok(found);
    }
    let real = match fs::read_link(path) {
        Ok(target) if StorePath::of(&target.to_string_lossy()).is_ok() => target,
        _ => path.canonicalize().map_err(|error| wrong(&error))?,
    };
    let below = real.strip_prefix(root).unwrap_or(&real);
    let text = format!("/{}", below.to_string_lossy().trim_start_matches('/'));
    StorePath::of(&text).map_err(|error| wrong(&error))
}

/// The option that names a key.
pub fn sign() -> Arg {
    Arg::new("sign")
        .long("sign")
        .value_name("KEYFILE")
        .value_parser(value_parser!(PathBuf))
        .help("Sign the paths with this key, as `nix-store --generate-binary-cache-key` makes it")
}

pub fn signing_key(file: &Path) -> Result<SigningKey, Failure> {
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))?;
    SigningKey::parse(&text).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
}
