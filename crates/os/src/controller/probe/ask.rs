//! One question over a network, asked again until it is answered.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use model::controller::check::{Check, Method, Way, output};
use model::dns::{self, ADDRESS_4, ADDRESS_6};
use model::echo::{self, Cookie};
use model::log::answer::{Answer, Outcome};
use model::time::Moment;
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags, SocketType, sockopt};

use super::way::{connected, dns_word, echo_socket, plain, question, random, servers, span};
use crate::clock;
use crate::event_loop::{EventLoop, Readiness};
use crate::resolver::text;
use crate::service::outputs::Outputs;

/// Messages that are read at once: who sends without end is heard on later.
const HEARD_MAX: usize = 16;

/// Good or not, and what is to be said of it.
type Verdict = Option<(bool, String)>;

pub struct Ask {
    started: Moment,
    timeout: Duration,
    tries_max: u32,
    tries: u32,
    next: Option<Moment>,
    /// The address of the host; `is_old`: one that was found before and may be wrong by now.
    peer: Option<IpAddr>,
    is_old: bool,
    /// Addresses that name servers have said.
    found: Vec<IpAddr>,
    lines: Vec<Line>,
    trouble: Option<String>,
    token: u64,
}

/// A socket, and what is expected from it.
struct Line {
    socket: OwnedFd,
    from: Moment,
    talk: Talk,
}

enum Talk {
    /// An echo; `headed`: it comes with the header of IPv4.
    Echo { is_4: bool, headed: bool, cookie: Cookie, sent: Vec<Moment> },
    /// A name server is asked for what is checked.
    Check { server: SocketAddr, question: Vec<u8>, is_bad: bool },
    /// One is asked for the address of the host.
    Lookup { open: Vec<Vec<u8>> },
    /// A connection; with an answer where it is HTTP.
    Stream { is_made: bool, sent: usize, answer: Option<Answer> },
}

impl Ask {
    /// `peer`: the address that the host had the last time.
    pub fn new(
        check: &Check,
        timeout: Duration,
        tries_max: u32,
        peer: Option<IpAddr>,
        token: u64,
        outputs: &Outputs,
    ) -> Self {
        let mut ask = Self {
            started: clock::now(),
            timeout,
            tries_max,
            tries: 0,
            next: None,
            peer,
            is_old: peer.is_some(),
            found: Vec::new(),
            lines: Vec::new(),
            trouble: None,
            token,
        };
        if let Some(host) = host(check) {
            let fits =
                |it: &IpAddr| check.way.source.is_none_or(|own| own.is_ipv4() == it.is_ipv4());
            if let Some((service, key)) = output(host) {
                // Of several it is the first; what it said before counts for nothing.
                let said = outputs.get(service, key).ok().flatten().unwrap_or_default();
                let said = String::from_utf8_lossy(&said);
                ask.peer = said.split_whitespace().next().and_then(|word| word.parse().ok());
                ask.is_old = false;
                return ask;
            }
            let known = match host.parse() {
                Ok(address) => Some(address),
                Err(_) => dns::in_hosts(&text("/etc/hosts"), host).into_iter().find(fits),
            };
            if known.is_some() {
                (ask.peer, ask.is_old) = (known, false);
            }
        }
        ask
    }

    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// When it is asked again.
    pub fn deadline(&self) -> Option<Moment> {
        self.next
    }

    /// Why no answer came.
    pub fn why_not(&self) -> String {
        let is_lookup = |line: &Line| matches!(line.talk, Talk::Lookup { .. });
        let what = match self.peer {
            None if self.lines.iter().any(is_lookup) => "no name server answered",
            _ => "no answer",
        };
        let times = if self.tries == 1 { "" } else { "s" };
        let text = format!(
            "{what} within {} ms, asked {} time{times}",
            self.timeout.as_millis(),
            self.tries
        );
        match &self.trouble {
            Some(trouble) => format!("{text}: {trouble}"),
            None => text,
        }
    }

    /// Asks, at first or again.
    pub fn advance(&mut self, check: &Check, events: &EventLoop) -> Verdict {
        let now = clock::now();
        self.tries += 1;
        let pause = self.timeout / self.tries_max;
        self.next = (self.tries < self.tries_max).then(|| self.started + pause * self.tries);
        let done = self.ask(check, events, now);
        done.err().map(|error| (false, self.explain(check, &error)))
    }

    /// What an error that ends all means.
    fn explain(&self, check: &Check, error: &io::Error) -> String {
        let Way { interface, source } = &check.way;
        match (interface, source, Errno::from_io_error(error)) {
            (Some(name), _, Some(Errno::NODEV)) => format!("there is no interface {name}"),
            (_, Some(source), Some(Errno::ADDRNOTAVAIL)) => {
                format!("no interface has the address {source}")
            }
            (.., Some(Errno::PERM | Errno::ACCESS)) => {
                "the system does not let this program ask".into()
            }
            (.., Some(errno)) => plain(errno),
            _ => error.to_string(),
        }
    }

    /// # Errors
    /// What will not be better a moment later.
    fn ask(&mut self, check: &Check, events: &EventLoop, now: Moment) -> io::Result<()> {
        if let Method::Dns { name, kind, server } = &check.method {
            if self.lines.is_empty() {
                let servers = match server {
                    Some(server) => vec![*server],
                    None => servers(),
                };
                self.ask_servers(servers, &check.way, events, now, |server| {
                    let question = question(name, *kind)?;
                    Ok(Talk::Check { server, question, is_bad: false })
                })?;
            }
            return self.send_again(now);
        }
        if self.peer.is_none() || self.is_old {
            // Who has answered one kind only is not waited for longer.
            if let Some(address) = self.choose(check, true) {
                (self.peer, self.is_old) = (Some(address), false);
            } else if self.lines.is_empty() {
                let host = host(check).unwrap_or_default();
                if let Some((service, key)) = output(host) {
                    let what = format!("the output {key} of {service} says no address");
                    return Err(io::Error::other(what));
                }
                self.ask_servers(servers(), &Way::default(), events, now, |_| {
                    let open = vec![question(host, ADDRESS_4)?, question(host, ADDRESS_6)?];
                    Ok(Talk::Lookup { open })
                })?;
            }
        }
        match self.peer {
            Some(peer) if !self.is_old || self.tries > 1 => {
                self.ask_peer(check, peer, events, now)?
            }
            _ => {}
        }
        self.send_again(now)
    }

    /// Makes a line to each of these that there is a way to.
    fn ask_servers(
        &mut self,
        servers: Vec<SocketAddr>,
        way: &Way,
        events: &EventLoop,
        now: Moment,
        talk: impl Fn(SocketAddr) -> io::Result<Talk>,
    ) -> io::Result<()> {
        let mut failure = None;
        for server in servers {
            // Loopback is behind no interface.
            let none = Way::default();
            let way = if server.ip().is_loopback() { &none } else { way };
            match connected(way, &server, SocketType::DGRAM) {
                Ok(socket) => self.add(events, socket, talk(server)?, now)?,
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if self.lines.is_empty() => Err(error),
            _ => Ok(()),
        }
    }

    /// Says again what can be said over the sockets there are.
    fn send_again(&mut self, now: Moment) -> io::Result<()> {
        let (number, needs_lookup) = (self.tries as u16, self.peer.is_none() || self.is_old);
        for line in &mut self.lines {
            let mut send = |bytes: &[u8]| match net::send(&line.socket, bytes, SendFlags::NOSIGNAL)
            {
                Ok(_) | Err(Errno::AGAIN) => {}
                Err(error) => self.trouble = Some(plain(error)),
            };
            match &mut line.talk {
                Talk::Echo { is_4, cookie, sent, .. } => {
                    // The number of a question is its place here, counted from 1.
                    sent.resize(usize::from(number), now);
                    let identifier = u16::from_ne_bytes([cookie[0], cookie[1]]);
                    send(&echo::question(*is_4, identifier, number, cookie));
                }
                Talk::Check { question, is_bad: false, .. } => send(question),
                Talk::Lookup { open } if needs_lookup => {
                    open.iter().for_each(|question| send(question));
                }
                Talk::Check { .. } | Talk::Lookup { .. } | Talk::Stream { .. } => {}
            }
        }
        Ok(())
    }

    /// Asks the host itself, over a socket that is made where one is missing.
    fn ask_peer(
        &mut self,
        check: &Check,
        peer: IpAddr,
        events: &EventLoop,
        now: Moment,
    ) -> io::Result<()> {
        let (port, answer) = match &check.method {
            Method::Icmp { .. } => {
                let is_4 = peer.is_ipv4();
                let has =
                    |line: &Line| matches!(line.talk, Talk::Echo { is_4: it, .. } if it == is_4);
                if !self.lines.iter().any(has) {
                    let (socket, headed) = echo_socket(&check.way, peer)?;
                    let sent = vec![now; self.tries as usize - 1];
                    let talk = Talk::Echo { is_4, headed, cookie: random()?, sent };
                    self.add(events, socket, talk, now)?;
                }
                return Ok(());
            }
            Method::Tcp { port, .. } => (*port, None),
            Method::Http { port, .. } => (*port, Some(Answer::default())),
            Method::Dns { .. } | Method::Command(_) => return Ok(()),
        };
        // Another connection: the system waits longer before it asks again for one.
        let socket = connected(&check.way, &SocketAddr::new(peer, port), SocketType::STREAM)?;
        self.add(events, socket, Talk::Stream { is_made: false, sent: 0, answer }, now)
    }

    fn add(
        &mut self,
        events: &EventLoop,
        socket: OwnedFd,
        talk: Talk,
        from: Moment,
    ) -> io::Result<()> {
        let interest = match talk {
            Talk::Stream { .. } => Readiness::IN | Readiness::OUT,
            _ => Readiness::IN,
        };
        events.add(&socket, self.token + self.lines.len() as u64, interest)?;
        self.lines.push(Line { socket, from, talk });
        Ok(())
    }

    /// Something has come over a line.
    pub fn hear(&mut self, check: &Check, at: usize, events: &EventLoop) -> Verdict {
        let now = clock::now();
        let is_stream = matches!(self.lines.get(at)?.talk, Talk::Stream { .. });
        let result = match is_stream {
            true => self.hear_stream(check, at, now, events),
            false => self.hear_messages(check, at, now),
        };
        let verdict = match result {
            Ok(verdict) => verdict,
            // Somebody is there, and says that nobody listens: asking again is in vain.
            Err(Errno::CONNREFUSED) if is_stream => {
                let peer = self.peer.map_or(String::new(), |peer| format!(" by {peer}"));
                return Some((false, format!("the connection was refused{peer}")));
            }
            Err(error) => {
                self.trouble = Some(plain(error));
                if is_stream {
                    let _ = events.remove(&self.lines[at].socket);
                }
                None
            }
        };
        if verdict.is_some() {
            return verdict;
        }
        // A name server has said what was to be known to go on.
        if (self.peer.is_none() || self.is_old)
            && let Some(address) = self.choose(check, false)
        {
            (self.peer, self.is_old) = (Some(address), false);
            let asked =
                self.ask_peer(check, address, events, now).and_then(|()| self.send_again(now));
            return asked.err().map(|error| (false, self.explain(check, &error)));
        }
        None
    }

    fn hear_messages(&mut self, check: &Check, at: usize, now: Moment) -> Result<Verdict, Errno> {
        let mut bytes = [0; 1500];
        for _ in 0..HEARD_MAX {
            let line = &mut self.lines[at];
            let count = match net::recv(&line.socket, &mut bytes, RecvFlags::empty()) {
                Ok((count, _)) => count,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error),
            };
            let bytes = &bytes[..count];
            match &mut line.talk {
                Talk::Echo { is_4, headed, cookie, sent } => {
                    if let Some(number) = echo::answer(*is_4, *headed, bytes, cookie)
                        && let Some(from) =
                            usize::from(number).checked_sub(1).and_then(|at| sent.get(at))
                    {
                        let after = span(now - *from);
                        let peer = self.peer.map_or(String::new(), |peer| format!("{peer} "));
                        let text = format!("{peer}answered after {after}, question {number}");
                        return Ok(Some((true, text)));
                    }
                }
                Talk::Check { server, question, is_bad } => {
                    let Some(verdict) = dns::verdict(question, bytes) else { continue };
                    let mut found = Vec::new();
                    dns::answer(question, bytes, &mut found);
                    let after = span(now - line.from);
                    let trouble = match (verdict, found.first()) {
                        (Ok(()), Some(address)) => {
                            let text = format!("{server} said {address} after {after}");
                            return Ok(Some((true, text)));
                        }
                        (Ok(()), None) => format!("{server} knows no such address"),
                        (Err(code), _) => format!("{server} answered {}", dns_word(code)),
                    };
                    *is_bad = true;
                    let is_bad =
                        |line: &Line| matches!(line.talk, Talk::Check { is_bad: true, .. });
                    if self.lines.iter().all(is_bad) {
                        return Ok(Some((false, trouble)));
                    }
                    self.trouble = Some(trouble);
                }
                Talk::Lookup { open } => {
                    let found = &mut self.found;
                    open.retain(|question| !dns::answer(question, bytes, found));
                    let is_over = |line: &Line| matches!(&line.talk, Talk::Lookup { open } if open.is_empty());
                    if self.peer.is_none() && self.lines.iter().all(is_over) {
                        if self.choose(check, true).is_none() {
                            let host = host(check).unwrap_or_default();
                            return Ok(Some((
                                false,
                                format!("nobody knows the address of {host}"),
                            )));
                        }
                        return Ok(None);
                    }
                }
                Talk::Stream { .. } => return Ok(None),
            }
        }
        Ok(None)
    }

    fn hear_stream(
        &mut self,
        check: &Check,
        at: usize,
        now: Moment,
        events: &EventLoop,
    ) -> Result<Verdict, Errno> {
        let (token, line) = (self.token + at as u64, &mut self.lines[at]);
        let Talk::Stream { is_made, sent, answer } = &mut line.talk else { return Ok(None) };
        let after = span(now - line.from);
        if !*is_made {
            sockopt::socket_error(&line.socket)??;
            match net::getpeername(&line.socket) {
                Ok(_) => *is_made = true,
                Err(Errno::NOTCONN) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let Some(answer) = answer else {
            let peer = self.peer.map_or(String::new(), |peer| format!(" {peer}"));
            return Ok(Some((true, format!("connected to{peer} after {after}"))));
        };
        let Method::Http { host, port, path, status } = &check.method else { return Ok(None) };
        let wanted = *status;
        let request = request(host, *port, path);
        while let Some(rest) = request.as_bytes().get(*sent..).filter(|rest| !rest.is_empty()) {
            match net::send(&line.socket, rest, SendFlags::NOSIGNAL) {
                Ok(count) => *sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error),
            }
        }
        if *sent == request.len() {
            // Nothing more is to be said.
            let _ = events.modify(&line.socket, token, Readiness::IN);
        }
        let mut bytes = [0; 1500];
        for _ in 0..HEARD_MAX {
            let count = match net::recv(&line.socket, &mut bytes, RecvFlags::empty()) {
                Ok((count, _)) => count,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error),
            };
            let outcome = answer.push(&bytes[..count]);
            if let Some(status) = answer.status() {
                let good = match wanted {
                    Some(wanted) => status == wanted,
                    None => (200..400).contains(&status),
                };
                let not =
                    wanted.filter(|_| !good).map_or(String::new(), |it| format!(", not {it},"));
                return Ok(Some((good, format!("answered {status}{not} after {after}"))));
            }
            if count == 0 || outcome == Outcome::Wrong {
                return Ok(Some((false, "what answered speaks no HTTP".into())));
            }
        }
        Ok(None)
    }

    /// The address to ask, of those that were found. `now`: others are not waited for.
    fn choose(&self, check: &Check, now: bool) -> Option<IpAddr> {
        let of = |is_4: bool| self.found.iter().copied().find(move |it| it.is_ipv4() == is_4);
        match check.way.source {
            Some(source) => of(source.is_ipv4()),
            None => of(true).or_else(|| {
                let is_over =
                    |line: &Line| matches!(&line.talk, Talk::Lookup { open } if open.is_empty());
                of(false).filter(|_| now || self.lines.iter().any(is_over))
            }),
        }
    }
}

/// The host that a check asks, where that is not a name server.
fn host(check: &Check) -> Option<&str> {
    match &check.method {
        Method::Icmp { host } | Method::Tcp { host, .. } | Method::Http { host, .. } => Some(host),
        Method::Dns { .. } | Method::Command(_) => None,
    }
}

fn request(host: &str, port: u16, path: &str) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let port = if port == 80 { String::new() } else { format!(":{port}") };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}{port}\r\nUser-Agent: ward\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    )
}
