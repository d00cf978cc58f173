//! Who is root inside: users of the new namespace, as users of this machine.
//!
//! Called by root, the namespace gets 65,536 users that own nothing outside,
//! so that not even root inside can harm the machine. Called by anybody else
//! it gets one: root inside is the caller.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use cli::Failure;

/// Users and groups inside, as the numbers from here on outside
/// (`user_namespaces(7)`); far above those that people and packages get.
const FIRST: u64 = 1_000_000;
const COUNT: u64 = 65_536;

/// Leaves this machine's namespaces and becomes root of new ones.
///
/// # Errors
/// Where the system's settings allow none.
pub fn leave() -> Result<(), Failure> {
    let (user, group) = (effective("Uid:")?, effective("Gid:")?);
    let helper = if user == 0 && may_map_many() { Some(Mapper::start()?) } else { None };
    os::sys::namespace::leave_all().map_err(|error| {
        Failure::refused(format!("cannot make namespaces: {error}")).hint(
            "see the settings user.max_user_namespaces, kernel.unprivileged_userns_clone and \
             kernel.apparmor_restrict_unprivileged_userns of sysctl",
        )
    })?;
    match helper {
        Some(mapper) => {
            mapper.finish()?;
            os::namespace::become_root().map_err(|e| refused("become root inside", &e))
        }
        None => map_one(user, group).map_err(|e| refused("become root inside", &e)),
    }
}

fn refused(what: &str, error: &io::Error) -> Failure {
    Failure::refused(format!("cannot {what}: {error}"))
}

/// A child that stays outside: only there may many users be given away.
struct Mapper(Child);

impl Mapper {
    fn start() -> Result<Self, Failure> {
        let script = format!(
            "read -r go && echo 0 {FIRST} {COUNT} >/proc/$PPID/gid_map && \
             echo 0 {FIRST} {COUNT} >/proc/$PPID/uid_map"
        );
        // In a group of its own: an interrupt from the keyboard is not for it.
        let child = Command::new("/bin/sh")
            .args(["-c", &script])
            .process_group(0)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        child.map(Self).map_err(|e| refused("start /bin/sh", &e))
    }

    fn finish(mut self) -> Result<(), Failure> {
        let mut stdin = self.0.stdin.take().expect("it was asked for");
        stdin.write_all(b"go\n").map_err(|e| refused("give users to the namespace", &e))?;
        drop(stdin);
        let mut said = String::new();
        let _ = self.0.stderr.take().expect("it was asked for").read_to_string(&mut said);
        let status = self.0.wait().map_err(|e| refused("give users to the namespace", &e))?;
        match status.success() {
            true => Ok(()),
            false => {
                let said = said.trim();
                Err(Failure::refused(format!("cannot give users to the namespace: {said}")))
            }
        }
    }
}

/// Makes the caller root inside. There is nobody else.
fn map_one(user: u64, group: u64) -> io::Result<()> {
    // Without this line nobody may set a group map (`user_namespaces(7)`).
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1"))
}

/// Whether the users that would be given away are there: this may itself be a namespace.
fn may_map_many() -> bool {
    ["/proc/self/uid_map", "/proc/self/gid_map"].iter().all(|map| {
        let text = fs::read_to_string(map).unwrap_or_default();
        text.lines().any(|line| {
            let numbers: Vec<u64> = line.split_whitespace().flat_map(str::parse).collect();
            matches!(numbers[..], [inside, _, count]
                if inside <= FIRST && FIRST + COUNT <= inside.saturating_add(count))
        })
    })
}

/// The effective id, second of the four in `/proc/self/status`.
fn effective(line: &str) -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status").map_err(|e| refused("read /proc", &e))?;
    let words = status.lines().find_map(|l| l.strip_prefix(line)).unwrap_or_default();
    let id = words.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    id.ok_or_else(|| Failure::refused(format!("/proc/self/status has no line {line}")))
}
