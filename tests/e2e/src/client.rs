//! A program that a test runs and waits for, but not for ever.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::device::PATIENCE;

/// What a program has said, and how it ended.
#[derive(Clone, Debug)]
pub struct Said {
    /// As a shell has it: 128 and the signal, of one that was killed.
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// # Panics
    /// It ended otherwise.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\nout: {}\nerr: {}", self.out, self.err);
        self
    }

    /// The lines of its output.
    pub fn lines(&self) -> Vec<&str> {
        self.out.lines().collect()
    }

    /// # Panics
    /// It has not said `what`, neither as output nor as error.
    #[track_caller]
    pub fn has(self, what: &str) -> Self {
        let found = self.out.contains(what) || self.err.contains(what);
        assert!(found, "no {what:?}\nout: {}\nerr: {}", self.out, self.err);
        self
    }
}

/// A program that runs; killed when dropped.
pub struct Client {
    child: Child,
    what: String,
    out: Option<JoinHandle<Vec<u8>>>,
    err: Option<JoinHandle<Vec<u8>>>,
}

impl Client {
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let out = child.stdout.take().map(read);
        let err = child.stderr.take().map(read);
        Self { child, what: format!("{command:?}"), out, err }
    }

    /// Runs it to its end.
    pub fn run(command: &mut Command) -> Said {
        Self::start(command).finish()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It hangs.
    pub fn finish(mut self) -> Said {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is a child") {
                break status;
            }
            if start.elapsed() > PATIENCE {
                let _ = self.child.kill();
                let (out, err) = (text(&mut self.out), text(&mut self.err));
                panic!("{} hangs\nout: {out}\nerr: {err}", self.what);
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        Said { code, out: text(&mut self.out), err: text(&mut self.err) }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

fn text(reader: &mut Option<JoinHandle<Vec<u8>>>) -> String {
    let bytes = reader.take().map(|reader| reader.join().expect("it only reads"));
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

/// Runs a command to its end, however long that is.
pub fn patient(command: &mut Command) -> Said {
    let output = command.stdin(std::process::Stdio::null()).output().expect("it can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}

/// A visit that is broken off at the end.
pub struct Visit(pub std::process::Child);

impl Drop for Visit {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
