//! Bounded messages between programs, with the caller's identity.
//!
//! `SOCK_SEQPACKET` sockets of the UNIX domain (`unix(7)`): a message arrives
//! whole or not at all, in order, and the end of the other side is seen.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use model::limits::{MESSAGE_BYTES_MAX, MESSAGE_DESCRIPTORS_MAX};
use rustix::fs::{Mode, chmod};
use rustix::net::{
    self, AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    sockopt,
};

/// Who is at the other end, as the kernel says (`SO_PEERCRED`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
}

/// The user that this program acts as.
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether nothing waits behind a message of this length, as a rule: whoever
/// has more to say fills one. What does wait is told by the next wait for
/// descriptors, and asking in vain costs as much as a message.
pub fn is_last(length: usize) -> bool {
    length < MESSAGE_BYTES_MAX / 2
}

/// A socket that others connect to.
pub struct Listener(OwnedFd);

impl Listener {
    /// Listens at `path`, replacing a socket that an earlier program left
    /// there. Neither accepting nor anything after it blocks. Whoever finds
    /// the socket can connect to it: it gets its name last.
    pub fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        let socket = socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let partial = path.with_file_name(format!(".{}.partial", name.display()));
        match std::fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        at(&partial, |address| Ok(net::bind(&socket, address)?))?;
        chmod(&partial, Mode::from_raw_mode(mode))?;
        net::listen(&socket, 128)?;
        std::fs::rename(&partial, path)?;
        Ok(Self(socket))
    }

    /// The next caller; `None` where nobody waits. Descriptors that have run
    /// out (`EMFILE`) are an error: wait a while before asking again.
    pub fn accept(&self) -> io::Result<Option<Connection>> {
        match net::accept_with(&self.0, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(fd) => Ok(Some(Connection(fd))),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::CONNABORTED) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Listener {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

/// One end of a conversation.
pub struct Connection(OwnedFd);

impl Connection {
    /// Both ends of a conversation, for a program and one that it starts. They block.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
        let (one, other) = net::socketpair(AddressFamily::UNIX, kind, flags, None)?;
        Ok((Self(one), Self(other)))
    }

    /// Connects to the listener at `path`. Sending and receiving block.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let socket = socket(SocketFlags::CLOEXEC)?;
        at(path, |address| Ok(net::connect(&socket, address)?))?;
        Ok(Self(socket))
    }

    /// Connects to the listener at `path`, and never waits: not for room among
    /// those who wait there (`WouldBlock`), and not later.
    pub fn connect_nonblocking(path: &Path) -> io::Result<Self> {
        let socket = socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        at(path, |address| Ok(net::connect(&socket, address)?))?;
        Ok(Self(socket))
    }

    pub fn set_nonblocking(&self) -> io::Result<()> {
        Ok(rustix::io::ioctl_fionbio(&self.0, true)?)
    }

    pub fn peer(&self) -> io::Result<Peer> {
        let found = sockopt::socket_peercred(&self.0)?;
        Ok(Peer {
            pid: found.pid.as_raw_nonzero().get(),
            uid: found.uid.as_raw(),
            gid: found.gid.as_raw(),
        })
    }

    /// Sends one message; `WouldBlock` where the other end has not read the
    /// earlier ones and this end does not block.
    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        net::send(&self.0, message, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Sends one message together with duplicates of `descriptors`, at most
    /// [`MESSAGE_DESCRIPTORS_MAX`].
    pub fn send_descriptors(&self, message: &[u8], descriptors: &[BorrowedFd]) -> io::Result<()> {
        let mut space =
            vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE_DESCRIPTORS_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
        net::sendmsg(&self.0, &[IoSlice::new(message)], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Receives one message and says how long it is; 0: the other end is
    /// gone. A message longer than `buffer` is an error, and lost.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive_descriptors(buffer).map(|(length, _)| length)
    }

    /// Receives one message and the descriptors that came with it.
    pub fn receive_descriptors(&self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE_DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = net::recvmsg(
            &self.0,
            &mut [IoSliceMut::new(buffer)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message was cut off"));
        }
        Ok((received.bytes, descriptors))
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Connection {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl From<Connection> for OwnedFd {
    fn from(connection: Connection) -> Self {
        connection.0
    }
}

fn socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    Ok(net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Calls `use_address` with the address of `path`. One that is too long for
/// an address (108 bytes, `unix(7)`) is reached through its directory.
fn at<T>(path: &Path, use_address: impl Fn(&SocketAddrUnix) -> io::Result<T>) -> io::Result<T> {
    if let Ok(address) = SocketAddrUnix::new(path) {
        return use_address(&address);
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let directory = crate::files::directory(parent)?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&directory);
    let short = Path::new("/proc/self/fd").join(number.to_string()).join(name);
    use_address(&SocketAddrUnix::new(&short)?)
}
