//! `doorward import`: source directories from what others have.

mod units;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use cli::{Exit, Failure};
use model::import::{Imported, Made, Weight, procd, systemd};
use model::limits::IMPORT_FILE_BYTES_MAX;
use model::service::name::Name;
use serde_json::json;

pub fn command() -> Command {
    let path =
        |name: &'static str| Arg::new(name).value_name(name).value_parser(value_parser!(PathBuf));
    let common = |command: Command| {
        command
            .arg(
                path("DIR")
                    .short('o')
                    .long("output")
                    .default_value("imported")
                    .help("The folder to make the source directories in; what is there stays"),
            )
            .arg(
                Arg::new("strict")
                    .long("strict")
                    .action(ArgAction::SetTrue)
                    .help("Exit with 1 where anything was left out"),
            )
            .arg(
                Arg::new("json")
                    .long("json")
                    .action(ArgAction::SetTrue)
                    .help("Print what was made and all remarks as JSON"),
            )
    };
    Command::new("import")
        .about("Make source directories of services from units of systemd or scripts of procd")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(common(
            Command::new("systemd")
                .about("Make source directories from units of systemd")
                .arg(
                    path("UNIT")
                        .required(true)
                        .num_args(1..)
                        .help("Files of services and targets, names of them, or folders"),
                )
                .arg(
                    path("PATH")
                        .short('p')
                        .long("path")
                        .action(ArgAction::Append)
                        .help("Where units and their drop-ins lie, beside those of each UNIT"),
                )
                .arg(
                    Arg::new("UNIT=NAME")
                        .value_name("UNIT=NAME")
                        .short('m')
                        .long("map")
                        .action(ArgAction::Append)
                        .help("Need the service NAME where a unit names UNIT; nothing: need nothing"),
                )
                .arg(
                    Arg::new("BUNDLE")
                        .value_name("BUNDLE")
                        .short('b')
                        .long("bundle")
                        .help("Make a bundle of this name that holds all of it"),
                )
                .after_help(
                    "Examples:\n  \
                     doorward import systemd /lib/systemd/system/ssh.service -o services\n  \
                     doorward import systemd getty@tty1.service -p /lib/systemd/system\n  \
                     doorward import systemd web.service -m network-online.target=uplink\n\n\
                     Exit codes: 0 done, 1 nothing was made or, with --strict, something was left out, \
                     100 wrong usage, 111 the system refused.",
                ),
        ))
        .subcommand(common(
            Command::new("procd")
                .about("Make source directories from init scripts of OpenWrt")
                .arg(path("SCRIPT").required(true).num_args(1..).help("Files of /etc/init.d"))
                .after_help(
                    "Examples:\n  \
                     doorward import procd files/etc/init.d/dropbear -o services\n  \
                     doorward services check services\n\n\
                     Exit codes: 0 done, 1 nothing was made or, with --strict, something was left out, \
                     100 wrong usage, 111 the system refused.",
                ),
        ))
}

pub fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let (what, matches) = matches.subcommand().ok_or_else(|| Failure::usage("import what?"))?;
    let imported = match what {
        "systemd" => from_systemd(matches)?,
        _ => from_procd(matches)?,
    };
    let folder: &PathBuf = matches.get_one("DIR").ok_or_else(|| Failure::usage("where to?"))?;
    write_all(folder, &imported.made)?;
    let left_out = tell(matches, folder, &imported)?;
    if imported.made.is_empty() {
        return Err(Failure::not_achieved("nothing could be made of that"));
    }
    if left_out > 0 && matches.get_flag("strict") {
        let s = if left_out == 1 { "" } else { "s" };
        return Err(Failure::not_achieved(format!(
            "{left_out} setting{s} could not be carried over"
        )));
    }
    Ok(Exit::DONE)
}

fn from_systemd(matches: &ArgMatches) -> Result<Imported, Failure> {
    let asked: Vec<PathBuf> = matches.get_many("UNIT").into_iter().flatten().cloned().collect();
    let paths: Vec<PathBuf> = matches.get_many("PATH").into_iter().flatten().cloned().collect();
    let mut stand_ins = Vec::new();
    for pair in matches.get_many::<String>("UNIT=NAME").into_iter().flatten() {
        let (unit, name) = pair
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("{pair}: a map is UNIT=NAME, or UNIT=")))?;
        let name = if name.is_empty() { None } else { Some(checked(name)?) };
        stand_ins.push((unit.to_owned(), name));
    }
    let bundle: Option<&String> = matches.get_one("BUNDLE");
    let bundle = bundle.map(|name| checked(name)).transpose()?;
    let units = units::gather(&asked, &paths)?;
    Ok(systemd::import(&units, &stand_ins, bundle.as_deref()))
}

fn checked(name: &str) -> Result<String, Failure> {
    match Name::parse(name) {
        Ok(name) => Ok(name.as_str().to_owned()),
        Err(error) => Err(Failure::usage(format!("{name} is no name of a service: {error}"))),
    }
}

fn from_procd(matches: &ArgMatches) -> Result<Imported, Failure> {
    let mut all = Imported::default();
    for path in matches.get_many::<PathBuf>("SCRIPT").into_iter().flatten() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let text = read(path)?;
        let imported = procd::import(&path.display().to_string(), &name, &text);
        all.remarks.extend(imported.remarks);
        for made in imported.made {
            if all.made.iter().any(|other| other.name == made.name) {
                return Err(Failure::not_achieved(format!(
                    "two of these scripts make {}",
                    made.name
                )));
            }
            all.made.push(made);
        }
    }
    Ok(all)
}

/// The text of a file that people wrote.
fn read(path: &Path) -> Result<String, Failure> {
    let refused = |error: &dyn std::fmt::Display| {
        Failure::refused(format!("cannot read {}: {error}", path.display()))
    };
    let kind = fs::metadata(path).map_err(|error| refused(&error))?;
    // A pipe has no end that could be waited for; /dev/null is how a unit is masked.
    if kind.is_dir() {
        return Err(refused(&"it is a folder"));
    }
    if !kind.is_file() {
        return Ok(String::new());
    }
    if kind.len() > IMPORT_FILE_BYTES_MAX as u64 {
        return Err(refused(&format!("it is larger than {IMPORT_FILE_BYTES_MAX} bytes")));
    }
    let bytes = fs::read(path).map_err(|error| refused(&error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes each source directory whole. Nothing is written where one of them is there already.
fn write_all(folder: &Path, made: &[Made]) -> Result<(), Failure> {
    let there: Vec<&str> = made
        .iter()
        .map(|made| made.name.as_str())
        .filter(|name| folder.join(name).exists())
        .collect();
    if !there.is_empty() {
        let hint = "nothing was written; move them away, or choose another folder with -o";
        let message = format!("in {} are already: {}", folder.display(), there.join(", "));
        return Err(Failure::refused(message).hint(hint));
    }
    for made in made {
        let partial = folder.join(format!(".{}.partial", made.name));
        let result =
            write_one(&partial, made).and_then(|()| fs::rename(&partial, folder.join(&made.name)));
        if let Err(error) = result {
            let _ = fs::remove_dir_all(&partial);
            let path = folder.join(&made.name);
            return Err(Failure::refused(format!("cannot write {}: {error}", path.display())));
        }
    }
    Ok(())
}

fn write_one(folder: &Path, made: &Made) -> std::io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir_all(folder)?,
    }
    for file in &made.files {
        let path = folder.join(&file.path);
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)?;
        }
        fs::write(&path, &file.text)?;
        if file.path == "run" || file.path == "finish" {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

/// Says what was made, and what a person has to know; the answer is how much was left out.
fn tell(matches: &ArgMatches, folder: &Path, imported: &Imported) -> Result<usize, Failure> {
    let left_out = systemd::left_out(&imported.remarks);
    let kind = |made: &Made| made.file("type").unwrap_or_default().trim().to_owned();
    let mut out = std::io::stdout().lock();
    if matches.get_flag("json") {
        let made: Vec<_> = imported
            .made
            .iter()
            .map(|made| {
                let files: Vec<&str> = made.files.iter().map(|file| file.path.as_str()).collect();
                json!({ "name": made.name, "type": kind(made), "files": files })
            })
            .collect();
        let remarks: Vec<_> = imported
            .remarks
            .iter()
            .map(|remark| {
                let weight = match remark.weight {
                    Weight::LeftOut => "left-out",
                    Weight::Otherwise => "otherwise",
                };
                json!({ "file": remark.file, "line": remark.line, "weight": weight, "text": remark.what })
            })
            .collect();
        let all =
            json!({ "folder": folder.display().to_string(), "made": made, "remarks": remarks });
        writeln!(out, "{all}")?;
        return Ok(left_out);
    }
    let mut remarks = String::new();
    for remark in &imported.remarks {
        remarks.push_str(&format!("{remark}\n"));
    }
    std::io::stderr().write_all(remarks.as_bytes())?;
    for made in &imported.made {
        writeln!(out, "{}: {}", folder.join(&made.name).display(), kind(made))?;
    }
    if left_out > 0 {
        writeln!(out, "{left_out} left out: each README says what, and where")?;
    }
    Ok(left_out)
}
