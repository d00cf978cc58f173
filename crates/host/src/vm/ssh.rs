//! Visits: ssh to a virtual router.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long the one who answers has to say who it is.
const BANNER_MAX: Duration = Duration::from_secs(2);
/// The wait between two looks: what is emulated needs its processor for itself.
const LOOK: Duration = Duration::from_millis(100);

/// Each new flash makes a key of its own for its server: there is nobody to recognise.
const STRANGER: [&str; 4] =
    ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"];

/// Where a router can be reached on this machine, and the key that it knows.
#[derive(Clone)]
pub struct Door {
    pub port: u16,
    pub key: PathBuf,
}

impl Door {
    /// Waits until a server for ssh answers, as long as `wanted` says so.
    pub fn wait(&self, wanted: impl Fn() -> bool) -> bool {
        while wanted() {
            if self.answers() {
                return true;
            }
            std::thread::sleep(LOOK);
        }
        false
    }

    /// Whether it begins as RFC 4253, 4.2 says. That a connection is taken says nothing: it may
    /// be the forwarder alone.
    fn answers(&self) -> bool {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let look = || -> io::Result<bool> {
            let mut stream = TcpStream::connect_timeout(&address, BANNER_MAX)?;
            stream.set_read_timeout(Some(BANNER_MAX))?;
            let mut begin = [0; 4];
            stream.read_exact(&mut begin)?;
            Ok(&begin == b"SSH-")
        };
        look().unwrap_or(false)
    }

    /// The words that a person needs.
    pub fn words(&self) -> String {
        let Self { port, key } = self;
        format!("ssh -p {port} -i {} {} root@127.0.0.1", key.display(), STRANGER.join(" "))
    }

    /// Writes a file for `ssh -F`, by which the router has a name, and gives its path. Of several
    /// routers that run at once, it is about the one that answered last.
    pub fn write_configuration(&self, name: &str, folder: &Path) -> io::Result<PathBuf> {
        let Self { port, key } = self;
        let text = format!(
            "# The virtual router that was started last.\nHost {name}\n  HostName 127.0.0.1\n  \
             Port {port}\n  User root\n  IdentityFile \"{}\"\n  IdentitiesOnly yes\n  \
             StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n",
            key.display()
        );
        let file = folder.join("ssh");
        let partial = folder.join(format!(".ssh-{}", std::process::id()));
        fs::create_dir_all(folder)?;
        fs::write(&partial, text)?;
        fs::rename(&partial, &file)?;
        Ok(file)
    }

    /// A command on the router.
    pub fn command(&self, words: &[OsString]) -> Command {
        let mut command = Command::new("ssh");
        command.args(["-F", "none", "-p", &self.port.to_string(), "-i"]).arg(&self.key);
        command.args(STRANGER);
        for option in [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "LogLevel=ERROR",
            "ConnectTimeout=10",
            // A router that has restarted says nothing to those who were there before.
            "ServerAliveInterval=5",
        ] {
            command.args(["-o", option]);
        }
        command.args(["root@127.0.0.1", "--"]);
        // The shell over there gets one line.
        command.args(words.iter().map(crate::ssh::quoted));
        command
    }

    /// What a command there prints, where it succeeds.
    pub fn ask(&self, words: &[&str]) -> Option<String> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let output = self.command(&words).stdin(Stdio::null()).stderr(Stdio::null()).output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// The times of a boot, as the router has them: `NAME<TAB>SECONDS` since its kernel began.
pub fn phases(text: &str) -> Vec<(String, f64)> {
    let phase = |line: &str| {
        let (name, seconds) = line.split_once('\t')?;
        Some((name.to_owned(), seconds.trim().parse().ok()?))
    };
    text.lines().filter_map(phase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_that_cannot_be_read_are_left_out() {
        let found = phases("kernel\t1.25\nroot\nup\tlate\ninit\t2\n");
        assert_eq!(found, [("kernel".to_owned(), 1.25), ("init".to_owned(), 2.0)]);
    }
}
