//! `ward boot`: what init runs first. It makes the live directory and brings
//! the first bundle up.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use cli::{Args, Command, Exit, Failure, Opt};

use super::peers::s6_rc_init::{Request, make_live};

pub const COMMAND: Command = Command {
    name: "boot",
    summary: "Make the live directory and bring the first bundle up",
    usage: "ward boot [-c DATABASE] [-l LIVE] [-b BUNDLE] SCANDIR",
    options: &[
        Opt("-c DATABASE", "The compiled database (/etc/s6-rc/compiled/current)"),
        Opt("-l LIVE", "The live directory to make (/run/s6-rc)"),
        Opt("-b BUNDLE", "The bundle to bring up (default)"),
    ],
    about: "`ward init` runs this by itself. Exit codes are those of s6-rc-init and s6-rc.",
    run,
};

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut request = Request {
        database: "/etc/s6-rc/compiled/current".into(),
        live: "/run/s6-rc".into(),
        prefix: String::new(),
        scandir: PathBuf::new(),
    };
    let mut bundle = OsString::from("default");
    while let Some(option) = args.option()? {
        match option.as_str() {
            "c" => request.database = args.value()?.into(),
            "l" => request.live = args.value()?.into(),
            "b" => bundle = args.value()?,
            _ => return Err(args.unknown(&option)),
        }
    }
    request.scandir = args.operand().ok_or_else(|| Failure::usage("it needs a scandir"))?.into();
    make_live(&request)?;
    let error = std::process::Command::new("/proc/self/exe")
        .arg0("s6-rc")
        .args(["-v1", "-l"])
        .arg(request.live)
        .args(["-u", "change"])
        .arg(bundle)
        .exec();
    Err(Failure::refused(format!("cannot execute s6-rc: {error}")))
}
