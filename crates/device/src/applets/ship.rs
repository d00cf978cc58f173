//! `ward ship`: sends the log of everything somewhere else, as a service.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use cli::{Args, Command, Exit, Failure, Opt};
use model::log::target::Target;
use os::log::ship::{self, Plan};

use crate::applets::logger;

pub const COMMAND: Command = Command {
    name: "ship",
    summary: "Send the log to a server",
    usage: "ward ship [-C FILE] [-d DIR] [--host NAME] [-t SIZE] [-i SECONDS] TARGET",
    options: &[
        Opt("-C FILE", "Keep there how far it was sent, and go on from there"),
        Opt("-d DIR", "Send this log directory (default: /run/uncaught-logs)"),
        Opt("-t SIZE", "A directory may hold this many bytes (default: 4194304)"),
        Opt("-i SECONDS", "Lines may wait so long to be written to it (default: 900)"),
        Opt("--host NAME", "What this device is called (default: its host name)"),
    ],
    about: "\
TARGET is one of

  /DIRECTORY               a log on flash: compressed, written seldom, and shown by `ward log`
  syslog+tcp://HOST:PORT   messages of RFC 5424, each behind its length (port: 514)
  syslog+udp://HOST:PORT   the same, each in a datagram; nobody tells whether they arrive
  http://HOST:PORT/PATH    JSON objects, one a line, with _time, _msg, host, service, priority
                           and boot, as VictoriaLogs takes them at /insert/jsonline; streams,
                           where PATH is Loki's /loki/api/v1/push

Signals: TERM, HUP and INT end it once what is under way has arrived, or after two seconds.

Exit codes: 0 told to end; 100 wrong usage; 111 the system refused.",
    run,
};

/// What a directory may hold, and how long lines wait for it.
const TOTAL: u64 = 4 << 20;
const INTERVAL: Duration = Duration::from_secs(900);

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut directory = PathBuf::from(logger::DIRECTORY);
    let (mut cursor, mut host) = (None, None);
    let (mut total, mut interval) = (TOTAL, INTERVAL);
    while let Some(option) = args.option()? {
        match option.as_str() {
            "C" => cursor = Some(PathBuf::from(args.value()?)),
            "d" => directory = args.value()?.into(),
            "t" => total = args.parsed()?,
            "i" => interval = Duration::from_secs(args.parsed::<u32>()?.into()),
            "host" => host = Some(args.text()?.into_bytes()),
            _ => return Err(args.unknown(&option)),
        }
    }
    let Some(target) = args.operand() else {
        return Err(Failure::usage("there is no target"));
    };
    let word = target.into_string().map_err(|_| Failure::usage("that target is no text"))?;
    let target = Target::parse(&word).map_err(|error| Failure::usage(error.to_string()))?;
    let plan = Plan {
        log: &directory,
        cursor: cursor.as_deref(),
        target,
        host: host.as_deref(),
        total,
        interval,
        say: &|text| eprintln!("ward ship: {text}"),
    };
    ship::run(&plan).map_err(|failure| {
        let (what, error) = match &failure {
            ship::Failure::Log(error) => (format!("read {}", directory.display()), error),
            ship::Failure::Cursor(error) => ("keep how far it was sent".into(), error),
            ship::Failure::Target(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                return Failure::refused(format!("another program writes to {word}"));
            }
            ship::Failure::Target(error) => (format!("write {word}"), error),
            ship::Failure::System(error) => ("begin".into(), error),
        };
        Failure::refused(format!("cannot {what}: {error}"))
    })?;
    Ok(Exit::DONE)
}
