//! `doorward reflash`: a whole new system for a device that is reached by ssh: built, checked, written
//! from maintenance, and started.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use cli::{Exit, Failure};
use model::deploy::trust::{self, TrustedKey, signer};
use model::flash::manifest::Manifest;
use os::flash::image_file::ImageFile;
use os::sys::memory;
use serde_json::{Value, json};

use super::copy::signing_key;
use super::{build, image};
use crate::say::{self, event, say, shown};
use crate::ssh::{self, NO_CONNECTION};
use crate::steps::closure::grouped;

/// From one look at a device that is away to the next.
const LOOK: Duration = Duration::from_millis(500);

/// For ssh: how long it waits for a device that is busy, and for one that may be away.
const PATIENT: [&str; 4] =
    ["ConnectTimeout=10", "ServerAliveInterval=5", "ServerAliveCountMax=12", "Compression=yes"];
const SHORT: [&str; 3] = ["ConnectTimeout=10", "ServerAliveInterval=2", "ServerAliveCountMax=4"];

/// How often the image is sent: a connection may break.
const TRIES: u32 = 3;

/// Memory that maintenance wants beside the image, at least.
const RESERVE: u64 = 16 << 20;

pub fn command() -> Command {
    Command::new("reflash")
        .about("Write a whole new system to the flash of a device that runs")
        .long_about(
            "Builds the firmware of a configuration, checks that it is whole and for this device, has the \
             device go into maintenance (levitate), writes what differs, reads all of it again, \
             restarts the device, and waits until the new system answers. Started again after whatever has \
             gone wrong, it goes on from there: also on a device that is in maintenance already. \
             docs/guide/reinstall.md says what can happen.",
        )
        .arg(Arg::new("target").value_name("USER@HOST").required(true).help("The device, as ssh has it"))
        .arg(
            Arg::new("image")
                .long("image")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Write this firmware, and build nothing"),
        )
        .arg(
            Arg::new("sign")
                .long("sign")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Sign the image with this key, as `nix-store --generate-binary-cache-key` makes it"),
        )
        .arg(
            Arg::new("unsigned")
                .long("unsigned")
                .action(ArgAction::SetTrue)
                .help("Write it also where none of the device's keys has signed it"),
        )
        .arg(Arg::new("port").short('p').value_name("PORT").help("The port of ssh"))
        .arg(Arg::new("key").short('i').value_name("FILE").help("The key for ssh"))
        .arg(
            Arg::new("option")
                .short('o')
                .value_name("OPTION")
                .action(ArgAction::Append)
                .help("An option for ssh"),
        )
        .arg(
            Arg::new("wait")
                .long("wait")
                .value_name("SECONDS")
                .value_parser(value_parser!(u64))
                .default_value("180")
                .help("How long the device may be away each time it restarts"),
        )
        .arg(
            Arg::new("dry-run")
                .short('n')
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .help("Build and check all of it, and leave the device as it is"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print what happens as JSON, an event a line"),
        )
        .args(build::what())
        .after_help("Exit codes: 0 the device runs the new system, 1 it does not, 111 something refused.")
}

pub fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let json = matches.get_flag("json");
    reflash(matches, json).inspect_err(|failure| {
        if json {
            say::failed(failure);
        }
    })
}

fn reflash(matches: &ArgMatches, json: bool) -> Result<Exit, Failure> {
    let begun = Instant::now();
    let tell = |name: &str, mut about: Value| {
        if json {
            about["event"] = name.into();
            about["seconds"] = say::seconds(begun.elapsed()).into();
            event(&about);
        }
    };
    let path = match matches.get_one::<PathBuf>("image") {
        Some(path) => path.clone(),
        None => build::output(matches, "outputs.firmware")?,
    };
    let signed = match matches.get_one::<PathBuf>("sign") {
        Some(key) => Some(in_memory(&image::signed(&path, &signing_key(key)?)?)?),
        None => None,
    };
    let path =
        signed.as_ref().map_or(path, |file| format!("/proc/self/fd/{}", file.as_raw_fd()).into());
    let (image, bytes) = checked(&path)?;
    let device = Device::new(matches);
    let found = device.facts(&PATIENT).map_err(|why| {
        Failure::refused(format!("cannot reach {}: {why}", device.target))
            .hint("nothing was changed on it")
    })?;
    fits(&image, bytes, &found, &device)?;
    if !device.unsigned {
        is_signed(&image, &found, &device)?;
    }
    let wait = Duration::from_secs(*matches.get_one("wait").unwrap_or(&180));
    say(format_args!("{} is {}, and runs {}", device.target, found.device, found.system));
    tell(
        "found",
        json!({
            "target": device.target,
            "device": found.device,
            "path": found.system,
            "maintenance": found.maintenance,
            "new_path": image.generation,
            "partition": image.partition,
            "bytes": bytes,
        }),
    );
    if found.system == image.generation && !found.maintenance {
        say(format_args!("that is what the image holds: there is nothing to do"));
        tell("runs", json!({ "target": device.target, "path": found.system }));
        return Ok(Exit::DONE);
    }
    if matches.get_flag("dry-run") {
        device.levitate(&found, &["-n"])?;
        say(format_args!("all of it fits; nothing was changed"));
        tell("fits", json!({}));
        return Ok(Exit::DONE);
    }
    if found.maintenance {
        say(format_args!("it is in maintenance already"));
    } else {
        device.levitate(&found, &[])?;
        device.enter_maintenance(&found, wait)?;
        tell("maintenance", json!({}));
    }
    device.stay();
    device.write(&path, bytes, &image)?;
    tell("written", json!({}));
    device.leave_maintenance(&image, wait)?;
    say(format_args!(
        "{} runs {} after {}",
        device.target,
        image.generation,
        shown(begun.elapsed())
    ));
    tell("runs", json!({ "target": device.target, "path": image.generation }));
    Ok(Exit::DONE)
}

/// A file that nobody else has.
fn in_memory(bytes: &[u8]) -> Result<File, Failure> {
    let file = memory::unnamed(c"image", 0).map(File::from);
    let kept = file.and_then(|mut file| file.write_all(bytes).map(|()| file));
    kept.map_err(|error| {
        Failure::refused(format!("cannot keep the signed image in memory: {error}"))
    })
}

/// An image that says what it is, and is whole.
fn checked(path: &Path) -> Result<(Manifest, u64), Failure> {
    let wrong = |why: String| {
        Failure::not_achieved(format!("{} cannot be used: {why}", path.display()))
            .hint("nothing was changed on the device")
    };
    let mut image = ImageFile::open(path).map_err(|trouble| wrong(trouble.to_string()))?;
    let none = "it has no manifest: it was cut off, or is not what `doorward build` makes";
    let manifest = image.manifest.clone().ok_or_else(|| wrong(none.into()))?;
    image.check(manifest.erase_bytes, &mut |_| {}).map_err(|trouble| wrong(trouble.to_string()))?;
    Ok((manifest, image.bytes))
}

/// What a device says of itself.
#[derive(Debug, Default)]
struct Facts {
    device: String,
    system: String,
    boot: String,
    maintenance: bool,
    memory: u64,
    /// Lines of its file of trusted keys.
    keys: String,
    /// Of the partition that the image is for, in `/proc/mtd`.
    partitions: Vec<(String, u64)>,
}

/// The line that a device's shell answers with them.
const FACTS: &str = "echo device $(cat /etc/device); echo system $(readlink /run/current-system); \
    echo boot $(cat /proc/sys/kernel/random/boot_id); echo status $(levitate --status); \
    grep MemTotal /proc/meminfo; sed 's/^/key /' /etc/doorward/trusted-keys 2>/dev/null; echo; cat /proc/mtd";

fn facts(text: &str) -> Facts {
    let mut found = Facts::default();
    for line in text.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "device" => found.device = rest.into(),
            "system" => found.system = rest.into(),
            "boot" => found.boot = rest.into(),
            // What `levitate --status` says in maintenance begins so.
            "status" => found.maintenance = rest.starts_with("maintenance:"),
            "key" => found.keys += &format!("{rest}\n"),
            "MemTotal:" => {
                let number = rest.split(' ').next().and_then(|number| number.parse::<u64>().ok());
                found.memory = number.unwrap_or(0) * 1024;
            }
            _ if word.starts_with("mtd") => {
                let size = rest.split(' ').next().and_then(|it| u64::from_str_radix(it, 16).ok());
                if let (Some(size), Some(name)) = (size, rest.split('"').nth(1)) {
                    found.partitions.push((name.into(), size));
                }
            }
            _ => {}
        }
    }
    found
}

/// Refuses what the device would refuse later.
fn fits(image: &Manifest, bytes: u64, found: &Facts, device: &Device) -> Result<(), Failure> {
    let refused = |why: String| {
        Err(Failure::not_achieved(format!("{} cannot be given this image: {why}", device.target))
            .hint("nothing was changed on it"))
    };
    if found.device.is_empty() {
        return refused("it does not say in /etc/device what it is".into());
    }
    if found.device != image.device {
        return refused(format!("it is {}, and the image is for {}", found.device, image.device));
    }
    match found.partitions.iter().find(|(name, _)| *name == image.partition) {
        None => return refused(format!("it has no partition {}", image.partition)),
        Some((_, size)) if *size < bytes => {
            return refused(format!(
                "its partition {} has {} bytes, and the image {}",
                image.partition,
                grouped(*size),
                grouped(bytes)
            ));
        }
        Some(_) => {}
    }
    // flashcp takes no more than half of what is free.
    let needed = 2 * bytes + RESERVE;
    if found.memory < needed {
        return refused(format!(
            "the image of {} bytes goes through its memory, which has {} bytes; it wants {}",
            grouped(bytes),
            grouped(found.memory),
            grouped(needed)
        ));
    }
    Ok(())
}

/// Refuses what `flashcp` would refuse in maintenance.
fn is_signed(image: &Manifest, found: &Facts, device: &Device) -> Result<(), Failure> {
    let wrong = |why: String| {
        let why = format!("{} takes no image that is not signed for it: {why}", device.target);
        Failure::not_achieved(why).hint(
            "nothing was changed on it. --sign KEY signs it; --unsigned writes it all the same",
        )
    };
    let keys: Vec<TrustedKey> = trust::keys(&found.keys)
        .map_err(|error| wrong(format!("its own keys cannot be read: {error}")))?;
    let signer = signer(&image.signed_bytes(), image.signed(), &keys);
    match signer.is_enough(&keys) {
        true => Ok(()),
        false => Err(wrong(format!("this one is {signer}"))),
    }
}

struct Device {
    target: String,
    unsigned: bool,
    /// Standard output is a program's: what the device says is for people.
    json: bool,
    words: Vec<String>,
}

/// How a command on the device went.
struct Answer {
    code: Option<i32>,
    out: String,
    error: String,
}

impl Device {
    fn new(matches: &ArgMatches) -> Self {
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        let mut words: Vec<String> = Vec::new();
        // A person's own options come first: ssh takes the first that it is given.
        for option in matches.get_many::<String>("option").into_iter().flatten() {
            words.extend(["-o".into(), option.clone()]);
        }
        for (flag, name) in [("-p", "port"), ("-i", "key")] {
            words.extend(text(name).into_iter().flat_map(|value| [flag.to_owned(), value]));
        }
        let (unsigned, json) = (matches.get_flag("unsigned"), matches.get_flag("json"));
        Self { target: text("target").unwrap_or_default(), unsigned, json, words }
    }

    fn command(&self, line: &str, options: &[&str]) -> Process {
        let mut command = ssh::program(&self.words);
        for option in options {
            command.args(["-o", option]);
        }
        command.arg(&self.target).args(["--", line]).stdin(Stdio::null());
        command
    }

    fn ask(&self, line: &str) -> Result<Answer, Failure> {
        self.answer(self.command(line, &PATIENT))
    }

    /// Has it restart. Nobody tells the connection when the device is gone, so the answer may be lost.
    fn reboot(&self) -> Result<(), Failure> {
        self.answer(self.command("reboot", &SHORT)).map(drop)
    }

    fn answer(&self, mut command: Process) -> Result<Answer, Failure> {
        let output = command.output().map_err(|error| {
            Failure::refused(format!("cannot run ssh: {error}"))
                .hint("`./setup` installs it; `DOORWARD_SSH` names another program")
        })?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        Ok(Answer {
            code: output.status.code(),
            out: text(&output.stdout),
            error: text(&output.stderr),
        })
    }

    /// What it says of itself, or why it does not: it may be busy, or be away (`SHORT`).
    fn facts(&self, options: &[&str]) -> Result<Facts, String> {
        let answer =
            self.answer(self.command(FACTS, options)).map_err(|failure| failure.to_string())?;
        match answer.code {
            // The last command may have found no flash: that is seen later.
            Some(code) if code != NO_CONNECTION => Ok(facts(&answer.out)),
            _ => Err(answer.error.lines().last().unwrap_or("ssh failed").to_owned()),
        }
    }

    fn levitate(&self, found: &Facts, options: &[&str]) -> Result<(), Failure> {
        if found.maintenance {
            return Ok(());
        }
        let line = format!("levitate {}", options.join(" "));
        let answer = self.ask(line.trim_end())?;
        if answer.code == Some(0) {
            answer.out.lines().for_each(|line| say(format_args!("levitate: {line}")));
            return Ok(());
        }
        Err(Failure::not_achieved(format!(
            "{} cannot go into maintenance: {}",
            self.target,
            last(&answer.error, &answer.out)
        ))
        .hint("nothing was changed on it"))
    }

    fn enter_maintenance(&self, before: &Facts, wait: Duration) -> Result<(), Failure> {
        say(format_args!("{} goes into maintenance", self.target));
        let start = Instant::now();
        // The answer may be lost with the connection.
        self.reboot()?;
        let mut why = String::new();
        while start.elapsed() < wait {
            match self.facts(&SHORT) {
                Ok(now) if now.maintenance => {
                    say(format_args!("maintenance answers after {}", shown(start.elapsed())));
                    return Ok(());
                }
                // It was not the same kernel that came back.
                Ok(now) if now.boot != before.boot => {
                    return Err(Failure::not_achieved(format!(
                        "{} did not come to maintenance, and has restarted into {}",
                        self.target, now.system
                    ))
                    .hint("its flash is as it was. Its console has said what stood in the way"));
                }
                Ok(_) => {}
                Err(error) => why = error,
            }
            std::thread::sleep(LOOK);
        }
        Err(Failure::not_achieved(format!(
            "{} did not answer for {} on its way into maintenance: {why}",
            self.target,
            shown(wait)
        ))
        .hint(
            "its flash is as it was: without a login it restarts by itself into the system that it had. \
             Starting this again goes on from wherever it is then",
        ))
    }

    /// Nothing restarts it while it is written, also where nobody is logged in for a while.
    fn stay(&self) {
        if let Ok(answer) = self.ask("levitate --stay")
            && answer.code != Some(0)
        {
            say(format_args!("levitate --stay: {}", last(&answer.error, &answer.out)));
        }
    }

    fn write(&self, path: &Path, bytes: u64, image: &Manifest) -> Result<(), Failure> {
        let hint = "the device is in maintenance, and stays there: keep its power on. Starting this again \
                    goes on; `reboot` there starts whatever is on its flash";
        say(format_args!("{} bytes go to the partition {}", grouped(bytes), image.partition));
        let start = Instant::now();
        // An earlier one of these may have been ended here, and go on over there.
        self.wait_idle()?;
        for attempt in 1..=TRIES {
            let file = File::open(path)
                .map_err(|error| Failure::refused(format!("{}: {error}", path.display())))?;
            let option = if self.unsigned { "--unsigned " } else { "" };
            let line = format!("flashcp -v {option}- mtd:{}", image.partition);
            let mut command = self.command(&line, &PATIENT);
            if self.json {
                command.stdout(std::io::stderr());
            }
            let status = command
                .stdin(file)
                .status()
                .map_err(|error| Failure::refused(format!("cannot run ssh: {error}")).hint(hint))?;
            match status.code() {
                Some(0) => {
                    say(format_args!("written and read again after {}", shown(start.elapsed())));
                    return Ok(());
                }
                // One that lost its connection may still be writing: it has the image.
                None | Some(NO_CONNECTION) if attempt < TRIES => {
                    say(format_args!("the connection broke; trying again"));
                    self.wait_idle()?;
                }
                _ => break,
            }
        }
        let failure =
            Failure::not_achieved(format!("{} was not written as it should be", self.target));
        Err(failure.hint(hint))
    }

    /// Waits until nothing is being written.
    fn wait_idle(&self) -> Result<(), Failure> {
        self.ask("while pidof flashcp >/dev/null; do sleep 1; done").map(drop)
    }

    fn leave_maintenance(&self, image: &Manifest, wait: Duration) -> Result<(), Failure> {
        say(format_args!("{} restarts", self.target));
        let before = self.facts(&PATIENT).map(|facts| facts.boot).unwrap_or_default();
        let start = Instant::now();
        self.reboot()?;
        let mut why = String::new();
        while start.elapsed() < wait {
            match self.facts(&SHORT) {
                Ok(now) if now.boot == before => {}
                Ok(now) if now.system == image.generation => return Ok(()),
                Ok(now) => {
                    return Err(Failure::not_achieved(format!(
                        "{} runs {}, which is not what was written: {}",
                        self.target, now.system, image.generation
                    )));
                }
                Err(error) => why = error,
            }
            std::thread::sleep(LOOK);
        }
        Err(Failure::not_achieved(format!(
            "{} was written, and did not answer for {} after its restart: {why}",
            self.target,
            shown(wait)
        ))
        .hint(
            "the image is on its flash, as it was read again. Does it have another address, or another \
             host key? Its console tells",
        ))
    }
}

/// The last that was said.
fn last<'a>(error: &'a str, out: &'a str) -> &'a str {
    if error.is_empty() { out } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_known_by_what_it_says() {
        let text = "device QEMU, x86_64\nsystem /nix/store/a-system\nboot 1-2-3\n\
                    status maintenance: this system runs in memory\nMemTotal:         210752 kB\n\
                    dev:    size   erasesize  name\nmtd0: 04000000 00010000 \"flash0\"\n\
                    mtd4: 03800000 00010000 \"firmware\"\nnonsense\nmtd5: x y\n\
                    key # mine\nkey a:b c:d\n";
        let found = facts(text);
        assert_eq!(found.device, "QEMU, x86_64");
        assert_eq!((found.system.as_str(), found.boot.as_str()), ("/nix/store/a-system", "1-2-3"));
        assert!(found.maintenance);
        assert_eq!(found.keys, "# mine\na:b c:d\n");
        assert_eq!(found.memory, 210_752 * 1024);
        assert_eq!(
            found.partitions,
            [("flash0".to_owned(), 64 << 20), ("firmware".to_owned(), 56 << 20)]
        );
        assert!(!facts("status maintenance is prepared: `reboot` goes there").maintenance);
        assert!(!facts("").maintenance);
    }
}
