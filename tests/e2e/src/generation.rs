//! A generation booted in namespaces, with nothing but the store around it: its own `ward` is pid
//! 1, and makes all the rest as on a device. Only devices and terminals are lent to it.
//!
//! Three network cards lead to namespaces of their own: `home`, `provider` and `provider2`.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::nix::store;
use crate::{Folder, wait_for};

/// `$1`: a folder for the root directory; `$2`: the store; `$3`: the generation; `$4`: the folder
/// `/boot`, which outlives it.
const BOOT: &str = r#"
set -eu
root=$1
mount -t tmpfs -o mode=0755 run /run
mount -t tmpfs -o mode=0755 root "$root"
mkdir -p "$root/nix/store" "$root/boot" "$root/dev"
mount --bind "$2/nix/store" "$root/nix/store"
mount --bind "$4" "$root/boot"
[ -L "$root/boot/system" ] || ln -s "$3" "$root/boot/system"
mount --rbind /dev "$root/dev"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
for name in home provider provider2; do ip netns add $name; ip -netns $name link set lo up; done
ip link add eth0 type veth peer name cable netns home
ip -netns home link set cable up
# The providers' servers; /dev/log and the console of the generation are not for them.
serve() {
	ip link add $1 type veth peer name cable netns $2
	ip -netns $2 address add $3.1/24 dev cable
	ip -netns $2 link set cable up
	ip netns exec $2 dnsmasq --user= --group= --pid-file= --conf-file=/dev/null --log-facility=/run/$2.log \
		--no-resolv --no-hosts --interface=cable --bind-interfaces --host-record=www.example.net,$3.1 \
		--dhcp-range=$3.50,$3.59,1h --dhcp-leasefile=/run/$2.leases
}
serve eth1 provider 198.51.100
serve eth2 provider2 203.0.113
exec chroot "$root" /boot/system/init --container
"#;

pub struct Generation {
    outer: Child,
    /// Pid 1 of the generation, as this machine numbers it.
    init: u32,
    folder: Folder,
}

impl Generation {
    /// Boots it, and waits until pid 1 is its `ward`.
    pub fn boot(path: &str) -> Self {
        let folder = Folder::new("boot");
        for name in ["root", "flash"] {
            fs::create_dir(folder.join(name)).expect("a folder can be made");
        }
        Self::start(folder, path)
    }

    /// Boots again what the boot link names by now, as after a restart or a power cut.
    pub fn boot_again(mut self) -> Self {
        let _ = self.outer.kill();
        let _ = self.outer.wait();
        let folder = std::mem::replace(&mut self.folder, Folder::new("none"));
        drop(self);
        Self::start(folder, "")
    }

    fn start(folder: Folder, path: &str) -> Self {
        let (root, console) = (folder.join("root"), folder.join("console"));
        let output = fs::File::create(&console).expect("a file can be made");
        let mut unshare = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            unshare.args(["--user", "--map-root-user"]);
        }
        unshare.args(["--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]);
        unshare.args(["/bin/sh", "-c", BOOT, "boot"]).arg(root).arg(store()).arg(path);
        unshare.arg(folder.join("flash"));
        unshare.stdin(Stdio::null()).stderr(output.try_clone().expect("a descriptor"));
        let outer = unshare.stdout(output).spawn().expect("unshare runs");
        let mut generation = Self { outer, init: 0, folder };
        generation.init = wait_for("pid 1", Duration::from_secs(60), || {
            let pid = generation.outer.id();
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            let child: u32 = children.ok()?.split_whitespace().next()?.parse().ok()?;
            let words = fs::read(format!("/proc/{child}/cmdline")).ok()?;
            // Its init may be a script, whose name stands behind that of a shell.
            let mut words = words.split(|b| *b == 0);
            let is_still_chroot = words.clone().next()?.ends_with(b"chroot");
            (!is_still_chroot && words.any(|word| word.ends_with(b"/init"))).then_some(child)
        });
        generation
    }

    /// A program of the generation, run in it.
    pub fn inside(&self, words: &[&str]) -> Command {
        let mut command = self.enter(&["--root", "--wd"]);
        command.args(["env", "-i", "PATH=/bin", "HOME=/root"]).args(words);
        command
    }

    /// A program of this machine, in one of the networks around the generation.
    pub fn beside(&self, network: &str, words: &[&str]) -> Command {
        let mut command = self.enter(&[]);
        command.args(["ip", "netns", "exec", network]).args(words);
        command
    }

    fn enter(&self, options: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.init))
            .args(["--mount", "--net", "--pid", "--ipc", "--uts"]);
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.args(options);
        command
    }

    /// What a program inside prints, if it succeeds.
    pub fn ask(&self, words: &[&str]) -> Option<String> {
        let output = self.inside(words).output().expect("nsenter runs");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What pid 1, before it had a log, and the script before it have said.
    pub fn console(&self) -> String {
        fs::read_to_string(self.folder.join("console")).unwrap_or_default()
    }

    /// The log of everything.
    pub fn log(&self) -> String {
        self.ask(&["cat", "/run/uncaught-logs/current"]).unwrap_or_default()
    }

    /// Waits until a service is up.
    ///
    /// # Panics
    /// When it does not come up, with what was said.
    pub fn wait_until_up(&self, service: &str) {
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_secs(90) {
            let up = self.ask(&["s6-rc", "-a", "list"]).unwrap_or_default();
            if up.lines().any(|name| name == service) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let why = self.ask(&["ward", "why", service]).unwrap_or_default();
        panic!("{service} is not up\n{why}\n{}\n{}", self.console(), self.log());
    }

    /// Tells pid 1 to end, and gives the exit code.
    pub fn end(mut self) -> Option<i32> {
        let kill = Command::new("kill").arg(self.init.to_string()).status();
        assert!(kill.is_ok_and(|status| status.success()));
        self.wait_end()
    }

    /// Waits until it has ended by itself.
    pub fn wait_end(&mut self) -> Option<i32> {
        wait_for("the end", Duration::from_secs(60), || {
            self.outer.try_wait().expect("it can be waited for")
        })
        .code()
    }

    /// Whether it has ended by itself, as for a restart.
    pub fn has_ended(&mut self) -> bool {
        self.outer.try_wait().expect("it can be waited for").is_some()
    }

    /// Pid 1, as this machine numbers it.
    pub fn init(&self) -> u32 {
        self.init
    }

    /// A file of its folder `/boot`, also while it does not run.
    pub fn flash(&self, name: &str) -> PathBuf {
        self.folder.join("flash").join(name)
    }

    /// Where a file of the generation's root directory is for this machine.
    pub fn file(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init))
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        // With it ends everything in its namespaces.
        let _ = self.outer.kill();
        let _ = self.outer.wait();
    }
}
