//! The settings of a service unit, each in its place or left out with a remark.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::super::script::{self, Word};
use super::super::unit::{self, Setting, UnitName};
use super::super::{Remarks, script::one_line};
use crate::service::signal;

/// What `Type=` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Simple,
    Forking,
    Oneshot,
}

/// One command line.
#[derive(Clone, Debug)]
pub(super) struct Exec {
    pub place: (String, u32),
    /// Its failure does not matter.
    pub ignored: bool,
    /// It runs as root whatever the user is.
    pub privileged: bool,
    pub words: Vec<Word>,
}

/// When a longrun that has ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Restart {
    #[default]
    No,
    Always,
    OnSuccess,
    OnFailure,
    OnAbnormal,
    OnAbort,
}

/// A folder that is made before the start.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    /// `RUNTIME`, as the variable that names it begins.
    pub kind: &'static str,
    pub base: &'static str,
    pub name: String,
}

/// How another unit is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Relation {
    Requires,
    Wants,
    After,
    /// The other way round: the other one is after this.
    Before,
    /// The other one, a target, wants this.
    WantedBy,
}

/// All that a service needs to run, as its unit says it.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub about: Vec<String>,
    pub kind: Kind,
    pub remains: bool,
    pub condition: Vec<Exec>,
    pub start_pre: Vec<Exec>,
    pub start: Vec<Exec>,
    pub start_post: Vec<Exec>,
    pub stop: Vec<Exec>,
    pub reload: Vec<Exec>,
    pub stop_post: Vec<Exec>,
    pub restart: Restart,
    pub restart_wait: Option<u64>,
    pub limit_interval: Option<u64>,
    pub limit_burst: Option<u64>,
    pub start_timeout: Option<Option<u64>>,
    pub stop_timeout: Option<Option<u64>>,
    pub kill_signal: Option<u8>,
    pub reload_signal: Option<u8>,
    pub kill_one: bool,
    pub never_killed: bool,
    pub clean: Vec<String>,
    pub prevented: Vec<String>,
    pub forced: Vec<String>,
    pub pid_file: Option<String>,
    /// Whoever it should run as is not known.
    pub nobody: bool,
    pub user: Option<String>,
    pub group: Option<String>,
    pub groups: Vec<String>,
    pub folder: Option<(String, bool)>,
    pub environment: Vec<(String, String)>,
    pub environment_files: Vec<(String, bool)>,
    pub unset: Vec<String>,
    pub input: Option<String>,
    pub output: Option<String>,
    pub error: Option<String>,
    /// Not where the output goes, wherever that is.
    pub error_in_log: bool,
    pub umask: Option<u32>,
    pub nice: Option<i8>,
    pub oom: Option<i32>,
    pub limits: Vec<(String, Option<u64>, Option<u64>)>,
    pub directories: Vec<Directory>,
    pub kept_directories: bool,
    pub modes: Vec<(&'static str, u32)>,
    /// Shell commands that must succeed, as the unit says them; and those of which one must.
    pub conditions: Vec<(String, String)>,
    pub any_conditions: Vec<(String, String)>,
    pub relations: Vec<(Relation, String, (String, u32))>,
}

/// What says nothing that a service would need here.
const PASSED_OVER: [&str; 24] = [
    "DefaultDependencies",
    "AllowIsolate",
    "StopWhenUnneeded",
    "Also",
    "Alias",
    "DefaultInstance",
    "SyslogIdentifier",
    "SyslogLevelPrefix",
    "SyslogFacility",
    "SyslogLevel",
    "GuessMainPID",
    "RefuseManualStart",
    "RefuseManualStop",
    "CollectMode",
    "IgnoreOnIsolate",
    "RestartMode",
    "IgnoreSIGPIPE",
    "NotifyAccess",
    "BusName",
    "FileDescriptorStoreMax",
    "UpheldBy",
    "Slice",
    "TimeoutAbortSec",
    "TimeoutStopFailureMode",
];

impl Plan {
    /// Reads the settings in their order; later ones win, lists grow.
    pub(super) fn read(
        name: &UnitName<'_>,
        settings: &[Setting<'_>],
        remarks: &mut Remarks,
    ) -> Self {
        let mut plan = Self::default();
        for setting in settings {
            if let Err(why) = plan.set(name, setting, remarks) {
                let Setting { key, value, .. } = setting;
                // Who it runs as is never guessed at: it would be root.
                plan.nobody |= ["User", "Group", "DynamicUser"].contains(&key.as_str());
                let shown: String = one_line(value).chars().take(120).collect();
                remarks.left_out(setting.place(), alloc::format!("{key}={shown}{why}"));
            }
        }
        plan
    }

    /// `Err`: it was left out; why, to be put behind it.
    fn set(
        &mut self,
        name: &UnitName<'_>,
        setting: &Setting<'_>,
        remarks: &mut Remarks,
    ) -> Result<(), String> {
        let Setting { section, key, value, .. } = setting;
        let known = ["Unit", "Service", "Install"].contains(&section.as_str());
        if section.starts_with("X-") || key.starts_with("X-") {
            return Ok(());
        }
        if !known {
            return Err(alloc::format!(": nothing here reads [{section}]"));
        }
        let raw = value.as_str();
        let no_number = || ": it cannot be read".to_string();
        let filled = || {
            name.filled(raw).map_err(|what| alloc::format!(": {what} is known only when it runs"))
        };
        match key.as_str() {
            "Description" | "Documentation" => {
                self.about.push(name.filled(raw).unwrap_or_else(|_| raw.into()))
            }
            "Requires" | "BindsTo" | "Requisite" | "PartOf" | "Wants" | "After" | "Before"
            | "WantedBy" | "RequiredBy" | "Upholds" => return self.relate(name, setting),
            key if key.starts_with("Condition") || key.starts_with("Assert") => {
                let (_, kind) = key.split_at(if key.starts_with('C') { 9 } else { 6 });
                return self.check(key, kind, &filled()?);
            }
            // What comes down at the end comes down here as well.
            "Conflicts"
                if raw
                    .split_ascii_whitespace()
                    .all(|unit| ["shutdown.target", "umount.target"].contains(&unit)) => {}
            "StartLimitIntervalSec" | "StartLimitInterval" => {
                self.limit_interval = unit::milliseconds(raw).ok_or_else(no_number)?;
            }
            "StartLimitBurst" => self.limit_burst = Some(raw.parse().map_err(|_| no_number())?),
            "Type" => {
                match raw {
                    "simple" | "exec" | "idle" | "" => self.kind = Kind::Simple,
                    "forking" => self.kind = Kind::Forking,
                    "oneshot" => self.kind = Kind::Oneshot,
                    "notify" | "notify-reload" | "dbus" => {
                        self.kind = Kind::Simple;
                        return Err(": nobody here hears that it is ready, so it counts as up once it runs; \
                                see notification-fd and s6-notifyoncheck".into());
                    }
                    _ => return Err(": there is no such type".into()),
                }
            }
            "RemainAfterExit" => self.remains = unit::switch(raw).ok_or_else(no_number)?,
            "ExecCondition" => return execs(&mut self.condition, name, setting, remarks),
            "ExecStartPre" => return execs(&mut self.start_pre, name, setting, remarks),
            "ExecStart" => return execs(&mut self.start, name, setting, remarks),
            "ExecStartPost" => return execs(&mut self.start_post, name, setting, remarks),
            "ExecStop" => return execs(&mut self.stop, name, setting, remarks),
            "ExecReload" => return execs(&mut self.reload, name, setting, remarks),
            "ExecStopPost" => return execs(&mut self.stop_post, name, setting, remarks),
            "Restart" => {
                self.restart = match raw {
                    "" | "no" => Restart::No,
                    "always" => Restart::Always,
                    "on-success" => Restart::OnSuccess,
                    "on-failure" => Restart::OnFailure,
                    "on-abnormal" => Restart::OnAbnormal,
                    "on-abort" => Restart::OnAbort,
                    _ => return Err(": nothing here knows when that is".into()),
                }
            }
            "RestartSec" => self.restart_wait = unit::milliseconds(raw).ok_or_else(no_number)?,
            "TimeoutSec" => {
                let time = unit::milliseconds(raw).ok_or_else(no_number)?;
                (self.start_timeout, self.stop_timeout) = (Some(time), Some(time));
            }
            "TimeoutStartSec" => {
                self.start_timeout = Some(unit::milliseconds(raw).ok_or_else(no_number)?)
            }
            "TimeoutStopSec" => {
                self.stop_timeout = Some(unit::milliseconds(raw).ok_or_else(no_number)?)
            }
            "KillSignal" => self.kill_signal = Some(signal::parse(raw).ok_or_else(no_number)?),
            "ReloadSignal" => self.reload_signal = Some(signal::parse(raw).ok_or_else(no_number)?),
            "KillMode" => match raw {
                "control-group" | "mixed" | "" => self.kill_one = false,
                "process" => self.kill_one = true,
                _ => return Err(": its main process gets the signal all the same".into()),
            },
            "SendSIGKILL" => self.never_killed = !unit::switch(raw).ok_or_else(no_number)?,
            "SuccessExitStatus" => list(&mut self.clean, raw),
            "RestartPreventExitStatus" => list(&mut self.prevented, raw),
            "RestartForceExitStatus" => list(&mut self.forced, raw),
            "PIDFile" => {
                let path = filled()?;
                let path = if path.starts_with('/') { path } else { alloc::format!("/run/{path}") };
                self.pid_file = Some(path);
            }
            "User" => self.user = some(filled()?),
            "Group" => self.group = some(filled()?),
            "SupplementaryGroups" => list(&mut self.groups, &filled()?),
            "WorkingDirectory" => {
                let path = filled()?;
                let (path, may_lack) = match path.strip_prefix('-') {
                    Some(path) => (path.to_string(), true),
                    None => (path, false),
                };
                self.folder = some(path).map(|path| (path, may_lack));
            }
            "Environment" => {
                if raw.is_empty() {
                    self.environment.clear();
                }
                for word in unit::words(raw).map_err(colon)? {
                    let word = name
                        .filled(&word)
                        .map_err(|what| alloc::format!(": {what} is known only when it runs"))?;
                    match word.split_once('=') {
                        Some((name, value)) if script::is_variable(name) => {
                            self.environment.push((name.into(), value.into()));
                        }
                        _ => return Err(alloc::format!(": {word} is no NAME=VALUE")),
                    }
                }
            }
            "EnvironmentFile" => {
                if raw.is_empty() {
                    self.environment_files.clear();
                    return Ok(());
                }
                let path = filled()?;
                let (path, may_lack) = match path.strip_prefix('-') {
                    Some(path) => (path.to_string(), true),
                    None => (path, false),
                };
                self.environment_files.push((path, may_lack));
            }
            "UnsetEnvironment" => {
                let mut names = Vec::new();
                list(&mut names, raw);
                if names.iter().any(|name| !script::is_variable(name)) {
                    return Err(": only names can be unset".into());
                }
                self.unset.extend(names);
            }
            "StandardInput" => {
                self.input = match raw {
                    "" | "null" => None,
                    _ => match filled()?.strip_prefix("file:") {
                        Some(path) => Some(alloc::format!("<{}", script::quoted(path))),
                        None => return Err(": it reads /dev/null".into()),
                    },
                }
            }
            "StandardOutput" => self.output = output(&filled()?)?,
            "StandardError" => {
                self.error_in_log =
                    ["journal", "syslog", "kmsg"].iter().any(|log| raw.starts_with(log));
                self.error = output(&filled()?)?;
            }
            "UMask" => self.umask = Some(octal(raw).ok_or_else(no_number)?),
            "Nice" => {
                self.nice =
                    Some(raw.parse().ok().filter(|n| (-20..20).contains(n)).ok_or_else(no_number)?)
            }
            "OOMScoreAdjust" => {
                self.oom = Some(
                    raw.parse()
                        .ok()
                        .filter(|n| (-1000..=1000).contains(n))
                        .ok_or_else(no_number)?,
                );
            }
            "RuntimeDirectory" => return self.directories("RUNTIME", "/run", &filled()?),
            "StateDirectory" => return self.directories("STATE", "/var/lib", &filled()?),
            "CacheDirectory" => return self.directories("CACHE", "/var/cache", &filled()?),
            "LogsDirectory" => return self.directories("LOGS", "/var/log", &filled()?),
            "ConfigurationDirectory" => {
                return self.directories("CONFIGURATION", "/etc", &filled()?);
            }
            "RuntimeDirectoryMode" => {
                self.modes.push(("RUNTIME", octal(raw).ok_or_else(no_number)?))
            }
            "StateDirectoryMode" => self.modes.push(("STATE", octal(raw).ok_or_else(no_number)?)),
            "CacheDirectoryMode" => self.modes.push(("CACHE", octal(raw).ok_or_else(no_number)?)),
            "LogsDirectoryMode" => self.modes.push(("LOGS", octal(raw).ok_or_else(no_number)?)),
            "ConfigurationDirectoryMode" => {
                self.modes.push(("CONFIGURATION", octal(raw).ok_or_else(no_number)?));
            }
            "RuntimeDirectoryPreserve" => {
                self.kept_directories = raw == "restart" || unit::switch(raw) == Some(true)
            }
            key if key.starts_with("Limit") => {
                let (soft, hard) = raw.split_once(':').unwrap_or((raw, raw));
                let read = |text: &str| match key {
                    "LimitCPU" => {
                        unit::milliseconds(text).map(|time| time.map(|ms| ms.div_ceil(1000)))
                    }
                    _ => unit::size(text),
                };
                let (soft, hard) =
                    (read(soft).ok_or_else(no_number)?, read(hard).ok_or_else(no_number)?);
                if script::limit(&key[5..], soft, hard).is_none() {
                    return Err(": a shell cannot set it".into());
                }
                self.limits.push((key[5..].into(), soft, hard));
            }
            "DynamicUser" if unit::switch(raw) == Some(false) => {}
            "DynamicUser" => return Err(": make a user for it, and name it in `run`".into()),
            key if PASSED_OVER.contains(&key) => {}
            _ => return Err(String::new()),
        }
        Ok(())
    }

    fn relate(&mut self, name: &UnitName<'_>, setting: &Setting<'_>) -> Result<(), String> {
        let relation = match setting.key.as_str() {
            "Requires" | "BindsTo" | "Requisite" | "PartOf" => Relation::Requires,
            "After" => Relation::After,
            "Before" => Relation::Before,
            "WantedBy" | "RequiredBy" => Relation::WantedBy,
            _ => Relation::Wants,
        };
        for word in unit::words(&setting.value).map_err(colon)? {
            let other = name
                .filled(&word)
                .map_err(|what| alloc::format!(": {what} is known only when it runs"))?;
            let place = (setting.file.to_string(), setting.line);
            self.relations.push((relation, other, place));
        }
        Ok(())
    }

    /// A condition, as a test of the shell.
    fn check(&mut self, key: &str, kind: &str, value: &str) -> Result<(), String> {
        let shown = alloc::format!("{key}={value}");
        let (any, value) = match value.strip_prefix('|') {
            Some(value) => (true, value),
            None => (false, value),
        };
        let (not, path) = match value.strip_prefix('!') {
            Some(path) => ("! ", path),
            None => ("", value),
        };
        if value.is_empty() {
            self.conditions.clear();
            self.any_conditions.clear();
            return Ok(());
        }
        let path = script::quoted(path);
        let test = match kind {
            "PathExists" => alloc::format!("{not}[ -e {path} ]"),
            "PathIsDirectory" => alloc::format!("{not}[ -d {path} ]"),
            "PathIsSymbolicLink" => alloc::format!("{not}[ -L {path} ]"),
            "FileNotEmpty" => alloc::format!("{not}[ -s {path} ]"),
            "FileIsExecutable" => alloc::format!("{not}[ -x {path} ]"),
            "PathIsReadWrite" => alloc::format!("{not}[ -w {path} ]"),
            "DirectoryNotEmpty" => alloc::format!("{not}[ -n \"$(ls -A {path} 2>/dev/null)\" ]"),
            _ => return Err(": it is not asked here".into()),
        };
        let list = if any { &mut self.any_conditions } else { &mut self.conditions };
        list.push((test, shown));
        Ok(())
    }

    fn directories(
        &mut self,
        kind: &'static str,
        base: &'static str,
        value: &str,
    ) -> Result<(), String> {
        if value.is_empty() {
            self.directories.retain(|directory| directory.kind != kind);
        }
        for name in unit::words(value).map_err(colon)? {
            let outside =
                name.starts_with('/') || name.split('/').any(|part| part == ".." || part == ".");
            if outside || name.contains(':') || name.is_empty() {
                return Err(alloc::format!(": {name} is not plainly below {base}"));
            }
            self.directories.push(Directory { kind, base, name });
        }
        Ok(())
    }
}

fn colon(why: String) -> String {
    alloc::format!(": {why}")
}

fn some(text: String) -> Option<String> {
    if text.is_empty() { None } else { Some(text) }
}

fn octal(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777 && !text.starts_with('+'))
}

/// Words are added; an empty value takes all away.
fn list(list: &mut Vec<String>, value: &str) {
    if value.is_empty() {
        list.clear();
    }
    list.extend(value.split_ascii_whitespace().map(String::from));
}

/// Where output goes, as the shell says it; nothing: into the log.
fn output(value: &str) -> Result<Option<String>, String> {
    let to = |sign: &str, path: &str| Ok(Some(alloc::format!("{sign}{}", script::quoted(path))));
    match value.split_once(':') {
        None if value == "null" => to(">", "/dev/null"),
        None if value.starts_with("journal")
            || value.starts_with("syslog")
            || value.starts_with("kmsg") =>
        {
            Ok(None)
        }
        None if ["", "inherit"].contains(&value) => Ok(None),
        Some(("file", path)) => to("1<>", path),
        Some(("append", path)) => to(">>", path),
        Some(("truncate", path)) => to(">", path),
        _ => Err(": it goes into the log".into()),
    }
}

/// Adds the commands of one line; `;` between blanks parts them.
fn execs(
    list: &mut Vec<Exec>,
    name: &UnitName<'_>,
    setting: &Setting<'_>,
    remarks: &mut Remarks,
) -> Result<(), String> {
    if setting.value.is_empty() {
        list.clear();
        return Ok(());
    }
    let mut found = Vec::new();
    for part in unit::commands(&setting.value).into_iter().filter(|part| !part.trim().is_empty()) {
        found.push(exec(name, setting, part.trim(), remarks)?);
    }
    list.extend(found);
    Ok(())
}

fn exec(
    name: &UnitName<'_>,
    setting: &Setting<'_>,
    line: &str,
    remarks: &mut Remarks,
) -> Result<Exec, String> {
    let signs = line.find(|c| !"-@:+!|".contains(c)).unwrap_or(line.len());
    let (signs, line) = line.split_at(signs);
    if signs.contains('|') {
        return Err(": a shell of the user's would run it".into());
    }
    let mut words = unit::words(line).map_err(colon)?;
    if signs.contains('@') && words.len() > 1 {
        let called = words.remove(1);
        let what =
            alloc::format!("{}: it is called {called} by a shell that cannot say so", setting.key);
        remarks.left_out(setting.place(), what);
    }
    if words.first().is_none_or(|program| program.is_empty()) {
        return Err(": no program is named".into());
    }
    let variables = !signs.contains(':');
    let mut made = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let word = if word == "\\;" { ";" } else { word };
        let word = name.word(word, variables && at > 0);
        made.push(word.map_err(|what| alloc::format!(": {what} has no meaning here"))?);
    }
    Ok(Exec {
        place: (setting.file.into(), setting.line),
        ignored: signs.contains('-'),
        // `!!` means nothing where the kernel can hand capabilities on, as all do by now.
        privileged: signs.contains('+') || signs.contains('!') && !signs.contains("!!"),
        words: made,
    })
}
