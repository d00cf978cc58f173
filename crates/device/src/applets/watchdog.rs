//! `ward watchdog`: feeds the watchdog of the hardware, and takes over from whoever did.

use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cli::{Args, Command, Exit, Failure, Opt};
use model::service::request::ToInit;
use os::event_loop::{EventLoop, Readiness};
use os::service::init_client::Client;
use os::service::live_dir;
use os::sys::signals::{self, number};
use os::watchdog::Watchdog;

pub const COMMAND: Command = Command {
    name: "watchdog",
    summary: "Feed the watchdog of the hardware: when that ends, the device restarts",
    usage: "ward watchdog [-T SECONDS] [-t SECONDS] [-s SCANDIR] DEVICE",
    options: &[
        Opt("-T SECONDS", "Have the device restart after so long without being fed (60)"),
        Opt("-t SECONDS", "Feed it so often (10)"),
        Opt("-s SCANDIR", "The scandir of the init that may have it (/run/service)"),
    ],
    about: "\
DEVICE is /dev/watchdog, as a rule. A watchdog has one owner. Where that is init, \
which looks after it while a device goes into maintenance, the watchdog is taken over \
and never without food. SIGTERM ends it in good order: a watchdog that can be switched off \
is.

Exit codes: 0 told to end, 100 wrong usage, 111 the system refused, or another program \
has it.",
    run,
};

/// The number of init.
const INIT: u32 = 1;

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut timeout, mut interval, mut scandir) = (60, 10, PathBuf::from("/run/service"));
    while let Some(option) = args.option()? {
        match option.as_str() {
            "T" => timeout = args.parsed()?,
            "t" => interval = args.parsed()?,
            "s" => scandir = args.value()?.into(),
            other => return Err(args.unknown(other)),
        }
    }
    let device = args.operand().ok_or_else(|| Failure::usage("it needs a device"))?;
    let refused =
        |what: &str, error: std::io::Error| Failure::refused(format!("cannot {what}: {error}"));
    if interval == 0 || timeout == 0 || interval >= timeout {
        return Err(Failure::usage(
            "it must be fed more often than it bites, and not without a pause",
        ));
    }
    let heard = signals::read_from(&[number::TERM, number::INT, number::HUP])
        .map_err(|error| refused("read signals", error))?;
    let mut events = EventLoop::new()
        .and_then(|events| events.add(&heard, 0, Readiness::IN).map(|()| events))
        .map_err(|error| refused("wait", error))?;
    let watchdog = own(Path::new(&device), &scandir)?;
    let took = watchdog.set_timeout(timeout).unwrap_or_else(|error| {
        eprintln!("cannot set {timeout} seconds ({error}); what it has stays");
        timeout
    });
    // One that cannot wait as long is fed more often.
    let interval = Duration::from_secs(interval.min((took / 2).max(1)).into());
    eprintln!("{} is fed every {} seconds", Path::new(&device).display(), interval.as_secs());
    loop {
        watchdog.pat().map_err(|error| refused("feed the watchdog", error))?;
        let next = os::clock::now() + interval;
        events.wait(Some(next)).map_err(|error| refused("wait", error))?;
        if let Ok(Some(number::TERM | number::INT | number::HUP)) = signals::next(heard.as_fd()) {
            watchdog.end();
            return Ok(Exit::DONE);
        }
    }
}

/// The watchdog, from the kernel or from init.
fn own(device: &Path, scandir: &Path) -> Result<Watchdog, Failure> {
    let error = match Watchdog::open(device) {
        Ok(watchdog) => return Ok(watchdog),
        Err(error) => error,
    };
    let name = device.display();
    if error.kind() != std::io::ErrorKind::ResourceBusy {
        return Err(Failure::refused(format!("cannot open {name}: {error}"))
            .hint("is the module of the kernel for it loaded?"));
    }
    let (watchdog, pid) = Watchdog::take().map_err(|error| {
        Failure::refused(format!("{name} is in use, and cannot be taken over: {error}"))
    })?;
    if pid != INIT {
        return Err(Failure::refused(format!("process {pid} looks after {name} already")));
    }
    let _ = watchdog.pat();
    // From now on nobody feeds it but this program, so that it bites when that hangs.
    let told = Client::connect(&scandir.join(live_dir::INIT))
        .map_err(|error| error.to_string())
        .and_then(|mut init| init.ask(&ToInit::WatchdogTaken).map_err(|error| error.to_string()));
    if let Err(error) = told {
        eprintln!("init was not told that it is looked after: {error}");
    }
    Ok(watchdog)
}
