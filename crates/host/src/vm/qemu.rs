//! QEMU: its arguments, its start and its end.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use cli::Failure;
use os::sys::tied;
use serde_json::Value;

use super::description::{Attach, Description, Rom};
use super::flash::Flash;
use super::lent;
use super::networks::Networks;
use super::rom::Boot;

/// How long QEMU has to end by itself.
const END_MAX: Duration = Duration::from_secs(3);

/// Where the serial console goes.
pub enum Console {
    /// To standard output, and from standard input.
    Here,
    File(File),
}

/// Why a machine has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It has powered itself off.
    Off,
    /// It restarts: on its own wish, after a panic, because its watchdog was not fed, or because
    /// somebody asked QEMU for it.
    Reset,
    /// QEMU was asked to end: by a signal, or by who gives it orders.
    Asked,
    /// QEMU is gone, and nobody has asked for it.
    Ended,
}

/// A machine that runs. It ends with this program.
pub struct Qemu {
    child: Child,
    orders: UnixStream,
}

/// What every start has in common.
pub struct Machine<'a> {
    pub description: &'a Description,
    pub flash: &'a Flash,
    /// What is in it outlives a restart, as that of a device which stays under power.
    pub memory: File,
    pub networks: &'a Networks,
    pub console: Console,
    /// Where others may give orders to QEMU.
    pub monitor: Option<PathBuf>,
}

impl Machine<'_> {
    /// Starts it. When it has stopped, `on_stop` is sent through `events`.
    pub fn start<Event: Send + 'static>(
        &self,
        boot: Option<&Boot>,
        events: Sender<Event>,
        on_stop: fn(Stop) -> Event,
    ) -> Result<Qemu, Failure> {
        let emulator = &self.description.emulator;
        let refused = |error: std::io::Error| {
            Failure::refused(format!("cannot run {emulator}: {error}"))
                .hint("`./setup` installs what virtual routers need")
        };
        let (orders, theirs) = UnixStream::pair().map_err(refused)?;
        let mut command = Command::new(emulator);
        self.arguments(&mut command, boot, theirs.as_raw_fd());
        let mut lent = vec![theirs.as_fd(), self.flash.file.as_fd(), self.memory.as_fd()];
        lent.extend(self.networks.cards().iter().map(AsFd::as_fd));
        lent.extend(boot.map(|boot| boot.initramfs.as_fd()));
        if let Console::File(file) = &self.console {
            lent.push(file.as_fd());
        }
        let child = tied::spawn(command, &lent).map_err(refused)?;
        drop(theirs);
        let mut qemu = Qemu { child, orders };
        let reader = qemu.orders.try_clone().map_err(refused)?;
        qemu.order("qmp_capabilities");
        thread::spawn(move || {
            let _ = events.send(on_stop(wait_for_stop(reader)));
        });
        Ok(qemu)
    }

    fn arguments(&self, command: &mut Command, boot: Option<&Boot>, orders: i32) {
        let Description { arguments, memory, attach, rom, .. } = self.description;
        command.args(arguments).args(["-accel", "tcg", "-m", &memory.to_string()]);
        command.args(["-machine", "memory-backend=memory"]).arg("-object").arg(format!(
            "memory-backend-file,id=memory,mem-path={},share=on,size={memory}M",
            lent::name(&self.memory)
        ));
        command.args(["-nodefaults", "-display", "none"]);
        command.args(["-chardev", &format!("socket,id=orders,fd={orders}")]);
        command.args(["-mon", "chardev=orders,mode=control"]);
        if let Some(path) = &self.monitor {
            command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", quoted(path)));
        }
        command.arg("-chardev").arg(match &self.console {
            Console::Here => "stdio,id=console,signal=on".to_owned(),
            Console::File(file) => format!("file,id=console,append=on,path={}", lent::name(file)),
        });
        command.args(["-serial", "chardev:console"]);
        self.networks.arguments(command);
        let file = lent::name(&self.flash.file);
        match attach {
            Attach::Memory => {
                let size = self.description.flash_bytes;
                command.arg("-object").arg(format!(
                    "memory-backend-file,id=flash,mem-path={file},share=on,size={size}"
                ));
                command.args(["-device", "ivshmem-plain,memdev=flash"])
            }
            Attach::Disk => {
                command.arg("-drive").arg(format!("if=none,id=flash,format=raw,file={file}"));
                command.args(["-device", "virtio-blk-pci,drive=flash"])
            }
            Attach::Chip => {
                command.arg("-drive").arg(format!("if=pflash,index=1,format=raw,file={file}"))
            }
        };
        if *rom == Rom::Host {
            // The next kernel may be another one.
            command.arg("-no-reboot");
        }
        if let Some(Boot { kernel, initramfs, command_line }) = boot {
            command.arg("-kernel").arg(kernel).arg("-initrd").arg(lent::name(initramfs));
            command.arg("-append").arg(command_line);
        }
    }
}

/// A path as the value of an option of QEMU's: a comma would end it.
fn quoted(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// Reads what QEMU says until it is gone.
///
/// Source: QEMU `qapi/run-state.json`, `SHUTDOWN`.
fn wait_for_stop(reader: UnixStream) -> Stop {
    let mut stop = Stop::Ended;
    for line in BufReader::new(reader).lines().map_while(Result::ok) {
        let message: Value = serde_json::from_str(&line).unwrap_or_default();
        if message["event"] == "SHUTDOWN" {
            stop = match message["data"]["reason"].as_str() {
                Some("guest-shutdown") => Stop::Off,
                Some("guest-reset" | "guest-panic" | "host-qmp-system-reset") => Stop::Reset,
                Some("host-signal" | "host-qmp-quit") => Stop::Asked,
                _ => Stop::Ended,
            };
        }
    }
    stop
}

impl Qemu {
    /// Pulls the plug, where it has not stopped already. `None`: it had to be killed.
    pub fn end(mut self) -> Option<ExitStatus> {
        self.order("quit");
        let start = Instant::now();
        while start.elapsed() < END_MAX {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(2));
        }
        None
    }

    fn order(&mut self, name: &str) {
        // One that is gone obeys nobody; that is seen elsewhere.
        let _ = writeln!(self.orders, "{}", serde_json::json!({ "execute": name }));
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
