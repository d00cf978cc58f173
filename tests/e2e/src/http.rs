//! A small HTTP server inside of a test: it takes requests, and answers as it is told to.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Taken, with no body, a body of a length, a body in chunks, or a body that ends the connection.
    Empty,
    Long,
    Chunked,
    Closing,
    /// Not taken.
    Status(u16),
    /// Hung up on when half of it was read.
    CutBefore,
    /// Taken, and hung up on in the middle of the answer.
    CutAfter,
    /// Taken, and answered byte by byte.
    Slow,
    /// Refused where this is in it, and taken otherwise; as often as that comes.
    RefusedWith(&'static str),
}

#[derive(Default)]
struct Told {
    replies: VecDeque<Reply>,
    /// First lines, and bodies that were taken.
    taken: Vec<(String, String)>,
    connections: usize,
    requests: usize,
}

pub struct Server {
    pub port: u16,
    told: Arc<Mutex<Told>>,
}

impl Server {
    /// Answers with these, and then with [`Reply::Empty`] always.
    pub fn start(replies: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
        let port = listener.local_addr().expect("it is bound").port();
        let told = Told { replies: replies.iter().copied().collect(), ..Told::default() };
        let told = Arc::new(Mutex::new(told));
        let shared = told.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                shared.lock().unwrap().connections += 1;
                let shared = shared.clone();
                std::thread::spawn(move || while serve(&stream, &shared).is_some() {});
            }
        });
        Self { port, told }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// First line and body of each request that was taken.
    pub fn taken(&self) -> Vec<(String, String)> {
        self.told.lock().unwrap().taken.clone()
    }

    pub fn connections(&self) -> usize {
        self.told.lock().unwrap().connections
    }

    pub fn requests(&self) -> usize {
        self.told.lock().unwrap().requests
    }
}

/// One request; `None`: the connection is over.
fn serve(mut stream: &TcpStream, told: &Mutex<Told>) -> Option<()> {
    let mut reader = BufReader::with_capacity(1, stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|count| *count > 0)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().expect("a number");
        }
        if line == "\r\n" {
            break;
        }
    }
    let reply = {
        let mut told = told.lock().unwrap();
        told.requests += 1;
        match told.replies.front().copied() {
            Some(Reply::RefusedWith(word)) => Reply::RefusedWith(word),
            _ => told.replies.pop_front().unwrap_or(Reply::Empty),
        }
    };
    if reply == Reply::CutBefore {
        let mut half = vec![0; length / 2];
        reader.read_exact(&mut half).ok()?;
        let _ = stream.shutdown(Shutdown::Both);
        return None;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).expect("JSON is text");
    let refused = matches!(reply, Reply::RefusedWith(word) if body.contains(word));
    if !refused && !matches!(reply, Reply::Status(_)) {
        told.lock().unwrap().taken.push((first.trim_end().to_owned(), body));
    }
    let answer = match reply {
        Reply::RefusedWith(_) if refused => {
            "HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nno".into()
        }
        Reply::Long => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".into(),
        Reply::Chunked => {
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n".into()
        }
        Reply::Closing => "HTTP/1.0 200 OK\r\n\r\nbye".into(),
        Reply::Status(status) => format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n"),
        Reply::CutAfter => "HTTP/1.1 20".to_owned(),
        _ => "HTTP/1.1 204 No Content\r\n\r\n".into(),
    };
    for piece in answer.as_bytes().chunks(if reply == Reply::Slow { 1 } else { 4096 }) {
        stream.write_all(piece).ok()?;
        if reply == Reply::Slow {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    if matches!(reply, Reply::CutAfter | Reply::Closing) {
        let _ = stream.shutdown(Shutdown::Both);
        return None;
    }
    Some(())
}
