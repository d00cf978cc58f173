//! A slow line to a port of this machine: so many bits a second, and so long on the way.
//!
//! Bytes are handed on by threads, since not every kernel has a queue that delays packets (netem). What TCP
//! itself costs on such a line is in it as far as one can see it from here: the round trip before a
//! connection is there. Its careful start, and what packets have around them, are not: both are the
//! same for whoever sends as much.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that are handed on together, and how many of these may be on the way.
const CHUNK: usize = 4096;
const CHUNKS_MAX: usize = 64;

#[derive(Clone, Copy)]
pub struct Shape {
    pub bits_per_second: f64,
    /// To the other end and back.
    pub round_trip: Duration,
}

/// One direction of a line, whatever connections share it.
#[derive(Default)]
struct Direction {
    /// When it has sent all that it was given.
    free: Mutex<Option<Instant>>,
    bytes: AtomicU64,
}

impl Direction {
    /// Takes so many bytes, and says when they arrive.
    fn send(&self, count: usize, shape: Shape) -> Instant {
        self.bytes.fetch_add(count as u64, Relaxed);
        let time = Duration::from_secs_f64(count as f64 * 8.0 / shape.bits_per_second);
        let mut free = self.free.lock().expect("nobody panics with it");
        let now = Instant::now();
        let sent = free.filter(|free| *free > now).unwrap_or(now) + time;
        *free = Some(sent);
        sent + shape.round_trip / 2
    }
}

pub struct Link {
    pub port: u16,
    directions: Arc<[Direction; 2]>,
}

impl Link {
    /// A line to this port. It is there until this program ends.
    pub fn new(to: u16, shape: Shape) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it has one").port();
        let directions: Arc<[Direction; 2]> = Arc::default();
        let shared = directions.clone();
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let shared = shared.clone();
                thread::spawn(move || connect(near, to, shape, &shared));
            }
        });
        Self { port, directions }
    }

    /// Bytes that went over it since this was asked last, in both directions.
    pub fn take(&self) -> u64 {
        self.directions.iter().map(|direction| direction.bytes.swap(0, Relaxed)).sum()
    }
}

fn connect(near: TcpStream, to: u16, shape: Shape, directions: &Arc<[Direction; 2]>) {
    // Whoever listens hears of a connection with the third packet of it.
    thread::sleep(shape.round_trip * 3 / 2);
    let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { return };
    for (index, (from, to)) in [(&near, &far), (&far, &near)].into_iter().enumerate() {
        let _ = to.set_nodelay(true);
        let (Ok(mut from), Ok(to)) = (from.try_clone(), to.try_clone()) else { return };
        let directions = directions.clone();
        let (sender, receiver) = sync_channel(CHUNKS_MAX);
        thread::spawn(move || deliver(&receiver, to));
        thread::spawn(move || {
            let mut chunk = [0; CHUNK];
            while let Ok(count @ 1..) = from.read(&mut chunk) {
                let arrives = directions[index].send(count, shape);
                if sender.send((arrives, chunk[..count].to_vec())).is_err() {
                    return;
                }
            }
        });
    }
}

fn deliver(chunks: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    for (arrives, chunk) in chunks {
        thread::sleep(arrives.saturating_duration_since(Instant::now()));
        if to.write_all(&chunk).is_err() {
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives back what it is sent.
    fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it has one").port();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut bytes = [0; 512];
                    while let Ok(count @ 1..) = stream.read(&mut bytes) {
                        let _ = stream.write_all(&bytes[..count]);
                    }
                });
            }
        });
        port
    }

    #[test]
    fn a_byte_takes_its_round_trips_and_many_bytes_take_what_the_line_is_wide() {
        let shape = Shape { bits_per_second: 8e6, round_trip: Duration::from_millis(40) };
        let link = Link::new(echo(), shape);
        let mut stream = TcpStream::connect(("127.0.0.1", link.port)).expect("it is there");
        let mut times = Vec::new();
        for _ in 0..2 {
            let start = Instant::now();
            stream.write_all(b"x").expect("it takes it");
            stream.read_exact(&mut [0]).expect("it comes back");
            times.push(start.elapsed());
        }
        // The first one waits for the connection.
        assert!(times[0] >= Duration::from_millis(100), "{times:?}");
        assert!(times[1] >= Duration::from_millis(40), "{times:?}");
        assert_eq!(link.take(), 4);
        // A tenth of what it sends in a second.
        let start = Instant::now();
        let bytes = vec![7; 100_000];
        let mut back = vec![0; 100_000];
        let writer = stream.try_clone().expect("a descriptor");
        thread::scope(|scope| {
            scope.spawn(|| (&writer).write_all(&bytes).expect("it takes them"));
            stream.read_exact(&mut back).expect("they come back");
        });
        let time = start.elapsed();
        assert_eq!(back, bytes);
        assert!(time >= Duration::from_millis(140), "{time:?}");
        assert!(time < Duration::from_secs(2), "{time:?}");
        assert_eq!(link.take(), 200_000);
        drop(stream);
    }
}
