//! Who brings visitors from this machine to a virtual router: passes on what comes in at a port.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::forward::Protocol;

/// How long a connection to the router may take.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// The wait where descriptors have run out: some will be given back.
const REST: Duration = Duration::from_millis(100);
/// How long an answer may take to a visitor who sends datagrams.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Visitors of one port who wait for such an answer.
const WAITING_MAX: usize = 1000;
/// The largest datagram there is.
const DATAGRAM_MAX: usize = 65_535;

/// Lets everybody in who comes to a port that is held.
pub fn open(protocol: Protocol, socket: OwnedFd, router: SocketAddr) {
    thread::spawn(move || match protocol {
        Protocol::Tcp => connections(&socket.into(), router),
        Protocol::Udp => datagrams(socket.into(), router),
    });
}

fn connections(listener: &TcpListener, router: SocketAddr) {
    for visitor in listener.incoming() {
        match visitor {
            Ok(visitor) => drop(thread::spawn(move || pass_on(visitor, router))),
            Err(_) => thread::sleep(REST),
        }
    }
}

/// Passes on what two say to each other, until both have ended. A router that does not answer is
/// one that hangs up.
fn pass_on(visitor: TcpStream, router: SocketAddr) {
    let Ok(router) = TcpStream::connect_timeout(&router, CONNECT_MAX) else { return };
    let (Ok(visitor_too), Ok(router_too)) = (visitor.try_clone(), router.try_clone()) else {
        return;
    };
    let back = thread::spawn(move || copy(router_too, visitor_too));
    copy(visitor, router);
    let _ = back.join();
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
}

/// Visitors who wait for an answer, each with a way to the router of its own.
type Waiting = Arc<Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>>;

fn datagrams(socket: UdpSocket, router: SocketAddr) {
    let socket = Arc::new(socket);
    let waiting = Waiting::default();
    let mut datagram = vec![0; DATAGRAM_MAX];
    loop {
        let Ok((length, visitor)) = socket.recv_from(&mut datagram) else {
            thread::sleep(REST);
            continue;
        };
        let mut known = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let way = match known.get(&visitor) {
            Some(way) => way.clone(),
            None if known.len() == WAITING_MAX => continue,
            None => {
                let Ok(way) = way_to(router).map(Arc::new) else { continue };
                known.insert(visitor, way.clone());
                let (answers, socket, waiting) = (way.clone(), socket.clone(), waiting.clone());
                thread::spawn(move || {
                    bring_answers(&answers, &socket, visitor);
                    waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&visitor);
                });
                way
            }
        };
        // What is lost is sent again by who needs it.
        let _ = way.send(&datagram[..length]);
    }
}

fn way_to(router: SocketAddr) -> io::Result<UdpSocket> {
    let way = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    way.set_read_timeout(Some(ANSWER_MAX))?;
    way.connect(router)?;
    Ok(way)
}

/// Until there was none for long.
fn bring_answers(way: &UdpSocket, socket: &UdpSocket, visitor: SocketAddr) {
    let mut datagram = vec![0; DATAGRAM_MAX];
    loop {
        match way.recv(&mut datagram) {
            Ok(length) => drop(socket.send_to(&datagram[..length], visitor)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            // Nobody is at that port of the router yet.
            Err(_) => {}
        }
    }
}
