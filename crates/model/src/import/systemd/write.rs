//! The files of one service, from what its unit says.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::super::script::{self, Piece};
use super::super::{Made, Remark, Remarks, readme};
use super::plan::{Exec, Kind, Plan, Restart};
use crate::limits::DEATH_TALLY_MAX;
use crate::service::signal;

/// systemd's own limits, where a unit names none: `DefaultTimeoutStartSec=` and the like.
const TIMEOUT_MS: u64 = 90_000;
/// Exit code of `finish` and, in scripts made here, of `run`: not to be started again.
const NEVER_AGAIN: u8 = 125;

/// Makes all files but those about other services.
pub(super) fn service(name: &str, from: &str, plan: &mut Plan, remarks: &mut Remarks) -> Made {
    let place = (from, 0);
    let mut made = Made::new(name);
    let oneshot = plan.kind != Kind::Simple;
    if plan.start.is_empty() && !oneshot {
        remarks
            .left_out(place, "it has no ExecStart= that could be carried over: `run` only says so");
    }
    if plan.kind == Kind::Forking {
        remarks.left_out(
            place,
            "Type=forking: nobody watches a program that goes into the background. It is made a oneshot; \
             find its option to stay in the foreground, and make it a longrun",
        );
    }
    take_signals(plan);
    if oneshot {
        about_oneshot(place, plan, remarks)
    } else {
        about_longrun(plan, remarks)
    }
    made.add("type", if oneshot { "oneshot\n" } else { "longrun\n" });
    let own = || remarks.0.iter().filter(|remark| remark.weight == super::super::Weight::LeftOut);
    let left: Vec<Remark> = own().cloned().collect();
    let heading = script::heading(from, &left);
    if oneshot {
        made.add("up", script::execline(&heading, &up(plan)));
        if let Some(down) = down(plan) {
            made.add("down", script::execline("", &down));
        }
        if !plan.reload.is_empty() {
            made.add(
                "reload",
                script::execline("", &(surroundings(plan) + &commands(plan, &plan.reload))),
            );
        }
        let default = if plan.kind == Kind::Forking { Some(TIMEOUT_MS) } else { None };
        add_time(&mut made, "timeout-up", plan.start_timeout.unwrap_or(default));
        add_time(&mut made, "timeout-down", plan.stop_timeout.unwrap_or(Some(TIMEOUT_MS)));
    } else {
        made.add("run", run(&heading, plan));
        if let Some(finish) = finish(plan) {
            made.add("finish", finish);
            add_time(&mut made, "timeout-finish", plan.stop_timeout.unwrap_or(Some(TIMEOUT_MS)));
        }
        if let Some(wait) = plan.restart_wait {
            made.add("restart-wait", alloc::format!("{}\n", number(wait)));
        }
        let never = plan.never_killed || plan.stop_timeout == Some(None);
        if !never {
            add_time(&mut made, "timeout-kill", plan.stop_timeout.unwrap_or(Some(TIMEOUT_MS)));
        }
        let tally = plan.limit_burst.unwrap_or(0).min(u64::from(DEATH_TALLY_MAX));
        if tally > 100 {
            made.add("max-death-tally", alloc::format!("{tally}\n"));
        }
        if !plan.kill_one {
            made.add("flag-timeout-killpg", "");
        }
        let signals = [("down-signal", plan.kill_signal), ("reload-signal", plan.reload_signal)];
        for (file, number) in signals {
            if let Some(number) = number {
                made.add(file, alloc::format!("{}\n", signal_name(number)));
            }
        }
    }
    made
}

/// Adds the page for the person; the last one, once all remarks are known.
pub(super) fn add_readme(made: &mut Made, from: &str, about: &[String], remarks: &[Remark]) {
    made.add("README", readme(from, about, remarks));
}

fn signal_name(number: u8) -> String {
    signal::name(number).map_or_else(|| number.to_string(), |name| alloc::format!("SIG{name}"))
}

fn add_time(made: &mut Made, file: &str, time: Option<u64>) {
    if let Some(time) = time.filter(|time| *time > 0) {
        made.add(file, alloc::format!("{}\n", number(time)));
    }
}

/// Times are numbers of 32 bits.
fn number(time: u64) -> u64 {
    time.min(u64::from(u32::MAX))
}

/// `ExecStop=` and `ExecReload=` that only send a signal to the main process become settings.
fn take_signals(plan: &mut Plan) {
    if plan.kind != Kind::Simple {
        return;
    }
    if let [stop] = &plan.stop[..]
        && let Some(number) = sent(stop)
    {
        plan.kill_signal = Some(number);
        plan.stop.clear();
    }
    if let Some(at) = plan.reload.iter().position(|reload| sent(reload).is_some()) {
        plan.reload_signal = sent(&plan.reload[at]);
        plan.reload.remove(at);
    }
}

/// The signal of a `kill -HUP $MAINPID`.
fn sent(exec: &Exec) -> Option<u8> {
    let main = |word: &[Piece]| matches!(word, [Piece::Variable(name) | Piece::Split(name)] if name == "MAINPID");
    let text = |word: &[Piece]| match word {
        [Piece::Text(text)] => Some(text.clone()),
        _ => None,
    };
    let (program, rest) = exec.words.split_first()?;
    let (last, options) = rest.split_last()?;
    let program = text(program)?;
    if program.rsplit('/').next() != Some("kill") || !main(last) {
        return None;
    }
    let options: Option<Vec<String>> = options.iter().map(|word| text(word)).collect();
    let options = options?;
    let options: Vec<&str> =
        options.iter().map(String::as_str).filter(|word| *word != "--").collect();
    match options[..] {
        [] => Some(15),
        ["-s" | "--signal", name] => signal::parse(name),
        [name] => signal::parse(
            name.strip_prefix("--signal=").or(name.strip_prefix("-s")).or(name.strip_prefix('-'))?,
        )
        .or_else(|| signal::parse(name.strip_prefix('-')?)),
        _ => None,
    }
}

fn about_oneshot(place: (&str, u32), plan: &Plan, remarks: &mut Remarks) {
    if plan.kind == Kind::Forking && plan.stop.is_empty() && plan.pid_file.is_none() {
        remarks
            .left_out(place, "neither ExecStop= nor PIDFile=: nothing stops what it has started");
    }
    if plan.restart != Restart::No {
        remarks.left_out(place, "Restart=: a oneshot is not started again by itself");
    }
    if plan.kind == Kind::Oneshot && !plan.remains {
        remarks.otherwise(place, "without RemainAfterExit=yes: it stays up here once it has run");
    }
    for exec in &plan.stop_post {
        remarks.otherwise(
            at(exec),
            "ExecStopPost=: it runs when it is stopped, not where its start failed",
        );
    }
}

fn about_longrun(plan: &Plan, remarks: &mut Remarks) {
    for exec in &plan.stop {
        let command = script::words(&exec.words);
        remarks.left_out(
            at(exec),
            alloc::format!("ExecStop={command}: a longrun is stopped by a signal (down-signal)"),
        );
    }
    for exec in &plan.reload {
        let command = script::words(&exec.words);
        remarks.left_out(
            at(exec),
            alloc::format!(
                "ExecReload={command}: a longrun is reloaded by a signal (reload-signal)"
            ),
        );
    }
    if let Some(exec) = plan.start.get(1) {
        remarks.left_out(at(exec), "ExecStart=: only a oneshot has more than one command");
    }
    for exec in &plan.start_post {
        remarks.otherwise(
            at(exec),
            "ExecStartPost=: it runs beside the program, and its failure stops nothing",
        );
    }
    if let Some(exec) = plan.condition.first() {
        remarks.otherwise(at(exec), "ExecCondition=: where it fails, the service has failed");
    }
}

fn at(exec: &Exec) -> (&str, u32) {
    (&exec.place.0, exec.place.1)
}

/// The environment that all commands of a service share.
fn surroundings(plan: &Plan) -> String {
    let mut text = String::new();
    let execs = [
        &plan.condition,
        &plan.start_pre,
        &plan.start,
        &plan.start_post,
        &plan.stop,
        &plan.reload,
        &plan.stop_post,
    ];
    if execs.iter().any(|execs| execs.iter().any(|exec| script::is_split(&exec.words))) {
        text.push_str("set -f\n");
    }
    text.push_str(&alloc::format!("umask {:04o}\n", plan.umask.unwrap_or(0o022)));
    if let Some(user) =
        plan.user.as_deref().filter(|user| script::is_variable(&user.replace('-', "_")))
    {
        text.push_str(&alloc::format!(
            "USER={user} LOGNAME={user} HOME=~{user}\nexport USER LOGNAME HOME\n"
        ));
    }
    for (name, value) in &plan.environment {
        text.push_str(&alloc::format!("export {name}={}\n", script::quoted(value)));
    }
    for kind in ["RUNTIME", "STATE", "CACHE", "LOGS", "CONFIGURATION"] {
        let mut paths: Vec<String> = Vec::new();
        for directory in plan.directories.iter().filter(|directory| directory.kind == kind) {
            paths.push(alloc::format!("{}/{}", directory.base, directory.name));
        }
        if !paths.is_empty() {
            text.push_str(&alloc::format!(
                "export {kind}_DIRECTORY={}\n",
                script::quoted(&paths.join(":"))
            ));
        }
    }
    if !plan.environment_files.is_empty() {
        text.push_str(script::ENVIRONMENT_FILE);
    }
    for (path, may_lack) in &plan.environment_files {
        let path = script::quoted(path);
        let guard = if *may_lack { alloc::format!("[ ! -r {path} ] || ") } else { String::new() };
        text.push_str(&alloc::format!("{guard}environment_file {path} || exit 111\n"));
    }
    for name in &plan.unset {
        text.push_str(&alloc::format!("unset {name}\n"));
    }
    let (folder, may_lack) = plan.folder.clone().unwrap_or(("/".into(), false));
    let guard = if may_lack { " 2>/dev/null || cd / || exit 111" } else { " || exit 111" };
    match (folder.as_str(), plan.user.as_deref()) {
        ("~", _) => text.push_str("cd || exit 111\n"),
        (folder, _) => text.push_str(&alloc::format!("cd {}{guard}\n", script::quoted(folder))),
    }
    text
}

/// Where output goes.
fn redirections(plan: &Plan) -> String {
    let mut text = String::from("exec");
    if plan.error_in_log {
        text.push_str(" 2>&1");
    }
    for part in [&plan.input, &plan.output].into_iter().flatten() {
        text.push_str(&alloc::format!(" {part}"));
    }
    match &plan.error {
        Some(error) => {
            let error = error.strip_prefix('1').unwrap_or(error);
            text.push_str(&alloc::format!(" 2{error}"));
        }
        None if !plan.error_in_log => text.push_str(" 2>&1"),
        None => {}
    }
    text.push('\n');
    text
}

/// Folders, limits and priorities: what root prepares.
fn preparations(plan: &Plan) -> String {
    let mut text = String::new();
    for directory in &plan.directories {
        let path = script::quoted(&alloc::format!("{}/{}", directory.base, directory.name));
        let mode = plan.modes.iter().rev().find(|(kind, _)| *kind == directory.kind);
        let mode = mode.map_or(0o755, |(_, mode)| *mode);
        text.push_str(&alloc::format!("mkdir -p {path} && chmod {mode:04o} {path}"));
        if directory.kind != "CONFIGURATION" && (plan.user.is_some() || plan.group.is_some()) {
            let user = plan.user.as_deref().map(script::quoted).unwrap_or_default();
            let group = match (&plan.group, &plan.user) {
                (Some(group), _) => script::quoted(group),
                (None, Some(user)) => alloc::format!("\"$(id -g {})\"", script::quoted(user)),
                (None, None) => String::new(),
            };
            text.push_str(&alloc::format!(" && chown {user}:{group} {path}"));
        }
        text.push_str(" || exit 111\n");
    }
    for (name, soft, hard) in &plan.limits {
        text.push_str(&script::limit(name, *soft, *hard).unwrap_or_default());
    }
    if let Some(oom) = plan.oom {
        text.push_str(&alloc::format!("echo {oom} >/proc/self/oom_score_adj\n"));
    }
    text
}

/// What stands before a command so that it runs as the unit's user.
fn as_user(plan: &Plan) -> String {
    let user =
        plan.user.as_deref().filter(|user| !["root", "0"].contains(user)).map(script::quoted);
    let group = plan.group.as_deref().map(script::quoted);
    script::as_user(user.as_deref(), group.as_deref(), &plan.groups)
}

fn tests(plan: &Plan) -> String {
    let mut text = String::new();
    if plan.nobody {
        text.push_str(&alloc::format!(
            "echo 'not started: who it runs as could not be carried over: see README'; exit {NEVER_AGAIN}\n"
        ));
    }
    let mut all = plan.conditions.clone();
    if !plan.any_conditions.is_empty() {
        let (tests, shown): (Vec<&str>, Vec<&str>) =
            plan.any_conditions.iter().map(|(test, shown)| (test.as_str(), shown.as_str())).unzip();
        all.push((alloc::format!("{{ {}; }}", tests.join(" || ")), shown.join(", ")));
    }
    let code = if plan.kind == Kind::Simple { NEVER_AGAIN } else { 0 };
    for (test, shown) in all {
        let shown = script::quoted(&alloc::format!("not started: it is not so: {shown}"));
        text.push_str(&alloc::format!("{test} || {{ echo {shown}; exit {code}; }}\n"));
    }
    text
}

/// Commands that run one after the other, and end the script where they fail.
fn commands(plan: &Plan, execs: &[Exec]) -> String {
    let mut text = String::new();
    for exec in execs {
        let user = if exec.privileged { String::new() } else { as_user(plan) };
        let end = if exec.ignored { " || :" } else { " || exit" };
        text.push_str(&alloc::format!("{user}{}{end}\n", script::words(&exec.words)));
    }
    text
}

fn run(heading: &str, plan: &Plan) -> String {
    let mut text = alloc::format!("#!/bin/sh\n{heading}");
    text.push_str(&redirections(plan));
    text.push_str(&tests(plan));
    text.push_str(&preparations(plan));
    text.push_str(&surroundings(plan));
    for exec in &plan.condition {
        let user = if exec.privileged { String::new() } else { as_user(plan) };
        text.push_str(&alloc::format!(
            "{user}{} || exit {NEVER_AGAIN}\n",
            script::words(&exec.words)
        ));
    }
    text.push_str(&commands(plan, &plan.start_pre));
    if plan
        .start_post
        .iter()
        .chain(&plan.start)
        .any(|exec| script::words(&exec.words).contains("MAINPID"))
    {
        text.push_str("export MAINPID=$$\n");
    }
    for exec in &plan.start_post {
        let user = if exec.privileged { String::new() } else { as_user(plan) };
        // A child of init, not of the program that this becomes.
        text.push_str(&alloc::format!("( {user}{} & )\n", script::words(&exec.words)));
    }
    let Some(main) = plan.start.first() else {
        text.push_str(&alloc::format!(
            "echo 'no command could be carried over: see README'\nexit {NEVER_AGAIN}\n"
        ));
        return text;
    };
    let nice = plan.nice.map(|nice| alloc::format!("nice -n {nice} ")).unwrap_or_default();
    let user = if main.privileged { String::new() } else { as_user(plan) };
    text.push_str(&alloc::format!("exec {nice}{user}{}\n", script::words(&main.words)));
    text
}

fn up(plan: &Plan) -> String {
    let mut text = redirections(plan);
    text.push_str(&tests(plan));
    text.push_str(&preparations(plan));
    text.push_str(&surroundings(plan));
    for exec in &plan.condition {
        let user = if exec.privileged { String::new() } else { as_user(plan) };
        text.push_str(&alloc::format!("{user}{} || exit 0\n", script::words(&exec.words)));
    }
    for execs in [&plan.start_pre, &plan.start, &plan.start_post] {
        text.push_str(&commands(plan, execs));
    }
    if plan.kind == Kind::Oneshot && !plan.remains {
        text.push_str(&commands(plan, &plan.stop));
    }
    text.push_str("exit 0\n");
    text
}

fn down(plan: &Plan) -> Option<String> {
    let mut text = String::new();
    if plan.kind == Kind::Forking || plan.remains {
        let file = plan.pid_file.as_deref().map(script::quoted);
        let asks = plan.stop.iter().any(|exec| script::words(&exec.words).contains("MAINPID"));
        match &file {
            Some(file) if asks => {
                text.push_str(&alloc::format!("MAINPID=$(cat {file}) || exit 0\n"))
            }
            Some(file) if plan.stop.is_empty() => {
                let signal = plan.kill_signal.unwrap_or(15);
                text.push_str(&alloc::format!(
                    "[ ! -r {file} ] || kill -{signal} \"$(cat {file})\"\n"
                ));
            }
            _ => {}
        }
        text.push_str(&commands(plan, &plan.stop));
    }
    text.push_str(&commands(plan, &plan.stop_post));
    text.push_str(&removal(plan));
    if text.is_empty() {
        return None;
    }
    Some(redirections(plan) + &surroundings(plan) + &text)
}

/// Folders below /run go when the service does.
fn removal(plan: &Plan) -> String {
    let mut text = String::new();
    let gone = plan
        .directories
        .iter()
        .filter(|directory| directory.kind == "RUNTIME" && !plan.kept_directories);
    for directory in gone {
        let path = script::quoted(&alloc::format!("{}/{}", directory.base, directory.name));
        text.push_str(&alloc::format!("rm -rf {path}\n"));
    }
    text
}

fn finish(plan: &Plan) -> Option<String> {
    let mut text = String::new();
    if !plan.stop_post.is_empty() {
        text.push_str("code=$1 signal=$2\n( ");
        text.push_str(&surroundings(plan));
        text.push_str(&commands(plan, &plan.stop_post));
        text.push_str(")\nset -- \"$code\" \"$signal\"\n");
    }
    text.push_str(&removal(plan));
    text.push_str(&verdict(plan));
    if text.is_empty() {
        return None;
    }
    let head = "#!/bin/sh\n# $1: its exit code, or 256 and the signal in $2. Exit code 125: not to be started again.\nexec 2>&1\n";
    Some(alloc::format!("{head}{text}"))
}

/// Whether it is started again.
fn verdict(plan: &Plan) -> String {
    let mut text = String::new();
    let patterns = |list: &[String]| -> Vec<String> {
        list.iter()
            .filter_map(|word| match word.parse::<u8>() {
                Ok(code) => Some(alloc::format!("{code}:*")),
                Err(_) => signal::parse(word).map(|number| alloc::format!("256:{number}")),
            })
            .collect()
    };
    let mut case = |patterns: &str, code: u8| {
        text.push_str(&alloc::format!("case $1:$2 in {patterns}) exit {code} ;; esac\n"));
    };
    let forced = patterns(&plan.forced);
    let prevented = patterns(&plan.prevented);
    // What the conditions in `run` say.
    let conditions = plan.conditions.len() + plan.any_conditions.len() + plan.condition.len();
    if conditions > 0 || plan.start.is_empty() || plan.nobody {
        case(&alloc::format!("{NEVER_AGAIN}:*"), NEVER_AGAIN);
    }
    if !prevented.is_empty() {
        case(&prevented.join(" | "), NEVER_AGAIN);
    }
    if !forced.is_empty() {
        case(&forced.join(" | "), 0);
    }
    // HUP, INT, PIPE and TERM are clean ways to end.
    let mut clean: Vec<String> =
        ["0:*", "256:1", "256:2", "256:13", "256:15"].map(String::from).into();
    clean.extend(patterns(&plan.clean));
    if plan.start.first().is_some_and(|exec| exec.ignored) {
        clean.push("*".into());
    }
    let clean = clean.join(" | ");
    let limit = match (plan.limit_interval, plan.limit_burst) {
        (None, None) => None,
        (interval, burst) => Some((interval.unwrap_or(10_000).div_ceil(1000), burst.unwrap_or(5))),
    };
    let limited = limit.filter(|(interval, burst)| *interval > 0 && *burst > 0);
    match plan.restart {
        Restart::Always => {}
        Restart::No => {
            text.push_str(&alloc::format!(
                "exit {NEVER_AGAIN} # Restart=no; without this line it starts again\n"
            ));
            return text;
        }
        Restart::OnFailure => case(&clean, NEVER_AGAIN),
        Restart::OnSuccess => text
            .push_str(&alloc::format!("case $1:$2 in {clean}) ;; *) exit {NEVER_AGAIN} ;; esac\n")),
        Restart::OnAbnormal | Restart::OnAbort => {
            case("256:1 | 256:2 | 256:13 | 256:15", NEVER_AGAIN);
            text.push_str(&alloc::format!("case $1 in 256) ;; *) exit {NEVER_AGAIN} ;; esac\n"));
        }
    }
    if let Some((interval, burst)) = limited {
        let burst = burst.min(u64::from(DEATH_TALLY_MAX));
        text.push_str(&alloc::format!("exec s6-permafailon {interval} {burst} 0-255 true\n"));
    }
    text
}
