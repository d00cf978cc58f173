//! What the kernel tells of devices, and of the cables of network devices (`netlink(7)`).

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{
    self, AddressFamily, Protocol, RecvAncillaryBuffer, RecvFlags, ReturnFlags, SocketFlags,
    SocketType, sockopt,
};

/// Bytes of messages that may wait to be read. The kernel counts about a kilobyte for each.
const WAITING_BYTES: usize = 2 << 20;

/// The group that the kernel sends to: `1`, of devices
/// (Linux `lib/kobject_uevent.c`), and of links (`RTMGRP_LINK`).
const GROUP: u32 = 1;

/// One kind of messages.
pub struct KernelEvents(OwnedFd);

/// What came of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes of a message.
    Message(usize),
    /// Messages were lost: nothing is known of what they said.
    Lost,
    /// No more for now.
    Nothing,
}

impl KernelEvents {
    /// Devices that come, go and change, from now on.
    pub fn of_devices() -> io::Result<Self> {
        Self::open(Some(netlink::KOBJECT_UEVENT))
    }

    /// Network devices whose state changes, from now on.
    pub fn of_links() -> io::Result<Self> {
        Self::open(None)
    }

    fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        // Only root may have more than is usual; the rest loses more often, and looks again.
        if sockopt::set_socket_recv_buffer_size_force(&socket, WAITING_BYTES).is_err() {
            let _ = sockopt::set_socket_recv_buffer_size(&socket, WAITING_BYTES);
        }
        net::bind(&socket, &SocketAddrNetlink::new(0, GROUP))?;
        Ok(Self(socket))
    }

    /// Reads one message of the kernel's. Those of anybody else are passed over.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Received> {
        loop {
            let mut nothing = RecvAncillaryBuffer::default();
            let mut parts = [IoSliceMut::new(buffer)];
            let message = match net::recvmsg(&self.0, &mut parts, &mut nothing, RecvFlags::empty())
            {
                Ok(message) => message,
                Err(Errno::AGAIN) => return Ok(Received::Nothing),
                Err(Errno::NOBUFS) => return Ok(Received::Lost),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            // Programs have a number of their own, which the kernel writes; its is 0.
            let sender =
                message.address.and_then(|address| SocketAddrNetlink::try_from(address).ok());
            if sender.is_none_or(|sender| sender.pid() != 0) {
                continue;
            }
            if message.flags.contains(ReturnFlags::TRUNC) {
                return Ok(Received::Lost);
            }
            return Ok(Received::Message(message.bytes));
        }
    }
}

impl AsFd for KernelEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
