//! An ssh server of this machine's own, as a device has it: Debian's dropbear, which lets one key in as root.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{Folder, stdout, wait_for};

pub struct SshServer {
    child: Child,
    folder: Folder,
    pub port: u16,
}

impl SshServer {
    /// A server. `options` stand before the key, as in `authorized_keys`: what it may do, or nothing.
    pub fn start(options: &str) -> Self {
        let folder = Folder::new("ssh-server");
        let (key, host) = (folder.join("key"), folder.join("host"));
        let mut generate = Command::new("ssh-keygen");
        stdout(generate.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key));
        let mut made = Command::new("dropbearkey");
        stdout(made.args(["-t", "ed25519", "-f"]).arg(&host).stderr(Stdio::null()));
        let public = fs::read_to_string(key.with_extension("pub")).expect("a key");
        let file = folder.write("home/.ssh/authorized_keys", format!("{options}{public}"));
        // Where somebody has a Nix there, it is one that nobody has set up.
        folder.write("home/.config/nix/nix.conf", "build-users-group =\nsubstituters =\n");
        let home = folder.join("home");
        for (path, mode) in [(&home, 0o700), (&home.join(".ssh"), 0o700), (&file, 0o600)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it has one").port();
        drop(listener);
        // The home of root is another one for this server only.
        let mut server = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            server.args(["--user", "--map-root-user"]);
        }
        let script = "mount --bind \"$0\" /root && exec dropbear -W 131072 -F -E -s -R -r \"$1\" -p 127.0.0.1:$2";
        server.args(["--mount", "sh", "-c", script]).arg(&home).arg(&host).arg(port.to_string());
        let child = server.stderr(Stdio::null()).spawn().expect("unshare runs");
        let server = Self { child, folder, port };
        wait_for("the server", Duration::from_secs(20), || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        server
    }

    /// The file of the key that it lets in.
    pub fn key(&self) -> PathBuf {
        self.folder.join("key")
    }

    /// Words for ssh that lead to it by this port, all but the host, which is 127.0.0.1.
    pub fn options(&self, port: u16) -> String {
        format!(
            "-F none -p {port} -i {} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes -l root",
            self.key().display()
        )
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
