//! A pretend init for tests of the logger alone: holds the pipes of services
//! and gives their reading ends to every logger that connects.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use model::bytes::{Reader, Writer};
use model::service::request::{FromInit, PROTOCOL, Role, ToInit};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use crate::{Folder, applet, wait_for};

pub struct PretendInit {
    folder: Folder,
    listener: OwnedFd,
    connection: Option<OwnedFd>,
    pipes: Vec<(String, OwnedFd, File)>,
    logger: Option<Child>,
    arguments: Vec<String>,
}

impl PretendInit {
    /// Holds a pipe for each of `services`; slots are numbered from 0.
    pub fn new(services: &[&str], arguments: &[&str]) -> Self {
        let folder = Folder::in_memory("logger");
        let flags = SocketFlags::CLOEXEC;
        let kind = SocketType::SEQPACKET;
        let listener =
            rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None).expect("a socket");
        let address = SocketAddrUnix::new(folder.join("init")).expect("a short path");
        rustix::net::bind(&listener, &address).expect("a new path");
        rustix::net::listen(&listener, 8).expect("it is bound");
        let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        let pipes = Vec::new();
        let mut init = Self { folder, listener, connection: None, pipes, logger: None, arguments };
        services.iter().for_each(|name| init.make_pipe(name));
        init
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The socket of those who follow.
    pub fn log_socket(&self) -> PathBuf {
        self.folder.join("log")
    }

    pub fn log_dir(&self) -> PathBuf {
        self.folder.join("uncaught-logs")
    }

    fn make_pipe(&mut self, name: &str) {
        let (near, far) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("pipe");
        self.pipes.push((name.to_owned(), near, File::from(far)));
    }

    /// The writing end of a service's pipe.
    pub fn pipe(&self, slot: usize) -> &File {
        &self.pipes[slot].2
    }

    pub fn write(&self, slot: usize, text: impl AsRef<[u8]>) {
        (&self.pipes[slot].2).write_all(text.as_ref()).expect("the pipe is open");
    }

    /// Bytes that no logger has taken yet.
    pub fn unread(&self, slot: usize) -> u64 {
        rustix::io::ioctl_fionread(&self.pipes[slot].1).expect("it is a pipe")
    }

    /// Starts the real logger and gives it all pipes.
    pub fn start_logger(&mut self) {
        let mut command = applet("logger");
        self.start(&mut command);
    }

    /// Starts `command` as the logger, with the arguments it needs.
    pub fn start(&mut self, command: &mut Command) {
        command.arg("-d").arg(self.log_dir()).args(&self.arguments).arg(self.folder.join("init"));
        self.logger = Some(command.spawn().expect("the logger starts"));
        self.welcome();
    }

    /// Waits for a logger to connect, and tells it of all pipes.
    pub fn welcome(&mut self) {
        let connection =
            rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC).expect("it connects");
        let mut buffer = [0; 64];
        let mut space = RecvAncillaryBuffer::new(&mut []);
        let received = rustix::net::recvmsg(
            &connection,
            &mut [IoSliceMut::new(&mut buffer)],
            &mut space,
            RecvFlags::empty(),
        )
        .expect("it says hello");
        let hello = ToInit::read(&mut Reader::new(&buffer[..received.bytes]));
        assert_eq!(hello, Ok(ToInit::Hello { protocol: PROTOCOL, role: Role::Logger }));
        self.connection = Some(connection);
        for slot in 0..self.pipes.len() {
            self.tell_pipe(slot);
        }
        self.tell(&FromInit::Welcome { protocol: PROTOCOL }, &[]);
    }

    fn tell_pipe(&self, slot: usize) {
        let (name, near, _) = &self.pipes[slot];
        self.tell(&FromInit::Pipe { slot: slot as u32, name }, &[near.as_fd()]);
    }

    pub fn tell(&self, message: &FromInit<'_>, descriptors: &[std::os::fd::BorrowedFd<'_>]) {
        let mut w = Writer::new();
        message.write(&mut w);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let connection = self.connection.as_ref().expect("a logger is connected");
        let bytes = [IoSlice::new(w.as_bytes())];
        rustix::net::sendmsg(connection, &bytes, &mut ancillary, SendFlags::NOSIGNAL)
            .expect("the logger listens");
    }

    /// A service that comes while the logger runs.
    pub fn add_service(&mut self, name: &str) -> usize {
        self.make_pipe(name);
        let slot = self.pipes.len() - 1;
        self.tell_pipe(slot);
        slot
    }

    /// The connection breaks, as when init starts itself anew.
    pub fn hang_up(&mut self) {
        self.connection = None;
    }

    pub fn logger(&mut self) -> &mut Child {
        self.logger.as_mut().expect("a logger was started")
    }

    pub fn signal(&mut self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(self.logger());
        rustix::process::kill_process(pid, signal).expect("it is our child, not waited for");
    }

    /// SIGKILL, and waits until it is dead.
    pub fn kill_logger(&mut self) {
        if let Some(mut logger) = self.logger.take() {
            logger.kill().expect("it is our child");
            logger.wait().expect("it is our child");
        }
        self.connection = None;
    }

    /// Sends a signal that ends it, and gives its exit code.
    pub fn end_logger(&mut self, signal: rustix::process::Signal) -> Option<i32> {
        self.signal(signal);
        let mut logger = self.logger.take().expect("a logger was started");
        let ended = wait_for("the end of the logger", Duration::from_secs(30), || {
            logger.try_wait().expect("it is our child")
        });
        // Not before: a logger that is hung up on would call again.
        self.connection = None;
        ended.code()
    }

    /// All archives in their order, then `current`.
    pub fn log(&self) -> Vec<u8> {
        let mut names: Vec<_> = std::fs::read_dir(self.log_dir())
            .expect("there is a log")
            .map(|entry| entry.expect("it can be listed").file_name())
            .filter(|name| name.to_string_lossy().starts_with('@'))
            .collect();
        names.sort();
        names.push("current".into());
        let read = |name| std::fs::read(self.log_dir().join(name)).unwrap_or_default();
        names.into_iter().flat_map(read).collect()
    }

    /// Lines of the log without marks, and without their labels, which are checked. The kernel shows a reader the
    /// beginning of a write that is still going on: the end of the last line is waited for.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        let mut log = Vec::new();
        wait_for("the end of the last line", Duration::from_secs(5), || {
            log = self.log();
            log.last().is_none_or(|&byte| byte == b'\n').then_some(())
        });
        let lines = log.split_inclusive(|&byte| byte == b'\n');
        let lines = lines.map(|line| unlabelled(line).to_vec());
        lines.filter(|line| !line.starts_with(b".logger ")).collect()
    }

    /// All of them as text, without their labels.
    pub fn lines_and_marks(&self) -> Vec<String> {
        let log = self.log();
        let lines = log.split_inclusive(|&byte| byte == b'\n').map(unlabelled);
        lines.map(|line| String::from_utf8_lossy(line).into()).collect()
    }

    /// Waits until this is the last line of the log.
    pub fn expect_end(&self, line: &str) {
        wait_for(line, Duration::from_secs(30), || {
            self.lines().last().is_some_and(|last| last == line.as_bytes()).then_some(())
        });
    }

    /// Waits until the log holds these lines, and no others.
    pub fn expect_lines(&self, expected: &[&str]) {
        let found = || self.lines().iter().map(|l| String::from_utf8_lossy(l).into()).collect();
        let mut last: Vec<String> = Vec::new();
        let limit = std::time::Instant::now() + Duration::from_secs(30);
        while std::time::Instant::now() < limit {
            last = found();
            if last.len() >= expected.len() {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(last, expected);
    }
}

impl Drop for PretendInit {
    fn drop(&mut self) {
        self.kill_logger();
    }
}

/// A line of the log without its label and its newline.
pub fn unlabelled(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").expect("a line ends");
    let (label, text) = line.split_at_checked(26).expect("a line has a label");
    assert!(
        model::log::archive::parse_label(&label[..25]).is_some() && label[25] == b' ',
        "no label: {:?}",
        line.escape_ascii().to_string()
    );
    text
}
