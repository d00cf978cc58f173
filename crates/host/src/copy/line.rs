//! The connection to a device: the system's ssh, with the receiver at its other end.

use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use cli::Failure;
use model::deploy::transfer::{FromDevice, HEAD_BYTES, ToDevice, head};

use crate::ssh::{NO_CONNECTION, NOT_FOUND, cannot_run, program};

/// A device, and how it is reached.
#[derive(Clone, Debug)]
pub struct Target {
    pub host: String,
    /// What is called there.
    pub receiver: String,
}

impl Target {
    /// The device of that name, with a `ward` to receive what is copied. What ssh would take for an option is none.
    pub fn named(host: &str) -> Result<Self, Failure> {
        match host.is_empty() || host.starts_with('-') {
            true => Err(Failure::usage(format!("{host:?} is no device"))),
            false => Ok(Self { host: host.to_owned(), receiver: "ward store receive".into() }),
        }
    }

    /// A command on the device.
    pub fn command(&self, words: &str) -> Command {
        self.with(&["ConnectTimeout=15", "ServerAliveInterval=5", "ServerAliveCountMax=4"], words)
    }

    /// The same, over a connection of its own: not one that was there before, and soon given up.
    pub fn visit(&self, words: &str) -> Command {
        let options = [
            "ControlMaster=no",
            "ControlPath=none",
            "ConnectTimeout=5",
            "ServerAliveInterval=2",
            "ServerAliveCountMax=3",
        ];
        self.with(&options, words)
    }

    fn with(&self, options: &[&str], words: &str) -> Command {
        let mut command = program(&[]);
        for option in options {
            command.args(["-o", option]);
        }
        command.args(["-T", &self.host, words]);
        command
    }
}

/// Why a connection is none any more.
#[derive(Debug)]
pub enum Lost {
    /// There is no `ward` on the device.
    NoWard,
    /// It was cut off. Another try may be luckier.
    Cut(String),
    /// Another try would end the same way.
    Hopeless(Failure),
}

/// A connection with a receiver.
pub struct Line {
    child: Child,
    input: Option<ChildStdin>,
    news: Receiver<io::Result<FromDevice>>,
    pub sent: u64,
}

impl Line {
    pub fn open(target: &Target) -> Result<Self, Failure> {
        let mut command = target.command(&target.receiver);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| cannot_run(&command, &error))?;
        let mut output = child.stdout.take().expect("it was asked for");
        let input = child.stdin.take();
        let (sender, news) = channel();
        thread::spawn(move || {
            loop {
                let message = hear(&mut output);
                let is_over = message.is_err();
                if sender.send(message).is_err() || is_over {
                    return;
                }
            }
        });
        Ok(Self { child, input, news, sent: 0 })
    }

    /// Says something.
    pub fn say(&mut self, message: &ToDevice<'_>) -> Result<(), Lost> {
        let bytes = message.encode();
        let Some(input) = &mut self.input else { return Err(Lost::Cut("it is closed".into())) };
        match input.write_all(&bytes).and_then(|()| input.flush()) {
            Ok(()) => {
                self.sent += bytes.len() as u64;
                Ok(())
            }
            Err(error) => Err(self.lost(&error.to_string())),
        }
    }

    /// The next thing that the device says, if it comes within this time.
    pub fn hear(&mut self, limit: Duration) -> Result<Option<FromDevice>, Lost> {
        match self.news.recv_timeout(limit) {
            Ok(Ok(FromDevice::Refused { why })) => {
                Err(Lost::Hopeless(Failure::not_achieved(format!("the device refuses: {why}"))))
            }
            Ok(Ok(message)) => Ok(Some(message)),
            Ok(Err(error)) => Err(self.lost(&error.to_string())),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(self.lost("it was closed")),
        }
    }

    /// Ends it, once the device has heard all.
    pub fn end(&mut self) -> io::Result<ExitStatus> {
        self.input = None;
        self.child.wait()
    }

    /// Finds out why nothing comes any more.
    fn lost(&mut self, what: &str) -> Lost {
        // The last words of the device may say it better.
        while let Ok(Ok(message)) = self.news.recv_timeout(Duration::from_secs(2)) {
            if let FromDevice::Refused { why } = message {
                return Lost::Hopeless(Failure::not_achieved(format!("the device refuses: {why}")));
            }
        }
        match self.end().map(|status| status.code()) {
            Ok(Some(NOT_FOUND)) => Lost::NoWard,
            Ok(Some(NO_CONNECTION)) => Lost::Cut("ssh has no connection".into()),
            Ok(Some(0) | None) => Lost::Cut(what.into()),
            Ok(Some(code)) => Lost::Cut(format!("the receiver ended with {code}")),
            Err(error) => Lost::Cut(error.to_string()),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.input = None;
        // Who does not end by itself is told to: the receiver at the other end keeps what came whole.
        for _ in 0..20 {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hear(output: &mut impl Read) -> io::Result<FromDevice> {
    let odd = |error: model::deploy::transfer::NoMessage| {
        io::Error::new(io::ErrorKind::InvalidData, error.to_string())
    };
    let mut begin = [0; HEAD_BYTES];
    output.read_exact(&mut begin)?;
    let (kind, length) = head(begin).map_err(odd)?;
    let mut body = vec![0; length];
    output.read_exact(&mut body)?;
    FromDevice::decode(kind, &body).map_err(odd)
}
