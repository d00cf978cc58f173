//! `ward output`: what services say for others.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;

use crate::applets::json::{Object, quoted};
use cli::{Args, Command, Exit, Failure, Opt, text};
use model::limits::OUTPUT_BYTES_MAX;
use model::service::name;
use os::event_loop::{EventLoop, Readiness};
use os::service::outputs::{Outputs, Values, Watch};
use os::sys;

pub const COMMAND: Command = Command {
    name: "output",
    summary: "Say, or ask, what a service says for others",
    usage: "ward output [-l LIVE] [--json] set|unset|get|list|watch NAME [KEY [VALUE]]...",
    options: &[
        Opt("-l, --live LIVE", "The live directory (default: /run/s6-rc)"),
        Opt(
            "--json",
            "Of get and list: print one object, with a text for each output; of watch: many",
        ),
    ],
    about: "\
Outputs of NAME are the files in /run/services/outputs/NAME, from its start until it is down. \
(For another LIVE than /run/s6-rc: `services/outputs-LIVE/NAME` beside it.)

`set NAME KEY VALUE` writes a line, and without VALUE what standard input holds, \
all at once or not at all; more of both may follow. `unset NAME KEY...` removes them, and \
without KEY all. `get NAME KEY` prints it, `list NAME` \
all of them, as KEY=VALUE. `watch NAME [KEY]` prints them, and from then on each that \
changes; one that has gone as -KEY. It waits where nothing is there yet.

Exit codes: 0 done; 1 there is no such output; 100 wrong usage; 111 the system refused.",
    run,
};

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut json, mut live) = (false, PathBuf::from("/run/s6-rc"));
    // What follows the verb may begin with a dash.
    let verb = loop {
        match args.option()? {
            Some(option) if matches!(option.as_str(), "l" | "live") => live = args.value()?.into(),
            Some(option) if option == "json" => json = true,
            Some(option) => return Err(args.unknown(&option)),
            None => break args.operand(),
        }
    };
    let outputs = Outputs::of(&live);
    let words = args.rest();
    let words: Vec<&str> = words.iter().map(|word| text(word)).collect::<Result<_, _>>()?;
    if let Some(service) = words.first() {
        let wrong = |why| Failure::usage(format!("{service} is no name of a service: {why}"));
        name::check(service.as_bytes()).map_err(wrong)?;
    }
    let verb = verb.unwrap_or_default();
    let verb = text(&verb)?;
    if json && !matches!(verb, "get" | "list" | "watch") {
        return Err(Failure::usage("--json is for get, list and watch"));
    }
    // Nothing is done where one of them is wrong.
    let values = if verb == "set" { 2 } else { 1 };
    for key in words.iter().skip(1).step_by(values) {
        if key.is_empty() || key.starts_with('.') || key.contains('/') || key.len() > 200 {
            return Err(Failure::usage(format!("{key:?} is no name for an output")));
        }
    }
    let set = |service: &str, key: &str, value: &[u8]| {
        outputs.set(service, key, value).map(drop).map_err(|error| refused(service, key, &error))
    };
    match (verb, &words[..]) {
        ("set", [service, key]) => {
            let mut bytes = Vec::new();
            let most = OUTPUT_BYTES_MAX as u64 + 1;
            std::io::stdin().lock().take(most).read_to_end(&mut bytes)?;
            set(service, key, &bytes)?;
        }
        ("set", [service, pairs @ ..]) if !pairs.is_empty() && pairs.len().is_multiple_of(2) => {
            for pair in pairs.chunks(2) {
                set(service, pair[0], format!("{}\n", pair[1]).as_bytes())?;
            }
        }
        ("unset", [service, keys @ ..]) => {
            let all = if keys.is_empty() { outputs.list(service) } else { Values::new() };
            for key in keys.iter().copied().chain(all.iter().map(|(key, _)| &**key)) {
                outputs.forget(service, key).map_err(|error| refused(service, key, &error))?;
            }
        }
        ("get", [service, key]) => match outputs.get(service, key) {
            Ok(Some(value)) if json => writeln!(out, "{}", object(&[((*key).into(), value)]))?,
            Ok(Some(value)) => out.write_all(&value)?,
            Ok(None) => {
                let why = format!("{service} has no output {key}");
                let hint = format!("`ward why {service}` says whether it is up");
                return Err(Failure::not_achieved(why).hint(hint));
            }
            Err(error) => return Err(refused(service, key, &error)),
        },
        ("list", [service]) if json => writeln!(out, "{}", object(&outputs.list(service)))?,
        ("list", [service]) => print(&Values::new(), &outputs.list(service), None, false, out)?,
        ("watch", [service]) => watch(&outputs, service, None, json, out)?,
        ("watch", [service, key]) => watch(&outputs, service, Some(key), json, out)?,
        _ => return Err(Failure::usage("it takes set, unset, get, list or watch, and a service")),
    }
    Ok(Exit::DONE)
}

/// A text for each, under its name.
fn object(values: &[(String, Vec<u8>)]) -> String {
    let mut object = Object::begin();
    for (key, value) in values {
        // A name as it stands between the quotes of JSON.
        let key = quoted(key);
        object.text(&key[1..key.len() - 1], String::from_utf8_lossy(value).trim_end());
    }
    object.end()
}

/// What has become of one of them: its value as JSON has it.
fn change(key: &str, value: &str) -> String {
    let mut object = Object::begin();
    object.text("key", key);
    object.raw("value", value);
    object.end()
}

fn refused(service: &str, key: &str, error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failure::not_achieved(format!("cannot say {key} for {service}: it is down"))
        }
        std::io::ErrorKind::PermissionDenied => {
            let hint = "`outputs-owner` of a service names the user whom they belong to";
            Failure::refused(format!("{key} of {service}: {error}")).hint(hint)
        }
        _ => Failure::refused(format!("{key} of {service}: {error}")),
    }
}

/// Prints until nobody reads.
fn watch(
    outputs: &Outputs,
    service: &str,
    key: Option<&str>,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut watch = Watch::new(outputs.path(service)).map_err(Failure::refused)?;
    let mut known = Values::new();
    loop {
        let values = outputs.list(service);
        print(&known, &values, key, json, out)?;
        out.flush()?;
        known = values;
        let mut events = EventLoop::new().map_err(Failure::refused)?;
        events.add(watch.as_fd(), 0, Readiness::IN).map_err(Failure::refused)?;
        // A file cannot be waited for, and is always read.
        let _ = events.add(sys::standard_streams().1, 1, Readiness::empty());
        loop {
            let ready = events.wait(None).map_err(Failure::refused)?;
            if ready.iter().any(|(token, _)| *token == 1) {
                return Ok(());
            }
            if !ready.is_empty() {
                break;
            }
        }
        watch.renew().map_err(Failure::refused)?;
    }
}

/// Prints what is new since `known`, and what has gone.
fn print(
    known: &Values,
    values: &Values,
    only: Option<&str>,
    json: bool,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let wanted = |key: &str| only.is_none_or(|only| only == key);
    let find = |values: &Values, key: &str| values.iter().position(|(other, _)| other == key);
    for (key, _) in known.iter().filter(|(key, _)| wanted(key) && find(values, key).is_none()) {
        match json {
            true => writeln!(out, "{}", change(key, "null"))?,
            false => writeln!(out, "-{key}")?,
        }
    }
    for (key, value) in values.iter().filter(|(key, _)| wanted(key)) {
        if find(known, key).is_none_or(|at| known[at].1 != *value) {
            let text = String::from_utf8_lossy(value);
            let text = text.trim_end();
            match json {
                true => writeln!(out, "{}", change(key, &quoted(text)))?,
                false => writeln!(out, "{key}={}", text.replace('\n', " "))?,
            }
        }
    }
    Ok(())
}
