//! `ward status-page`: what people see of a device in a browser, and numbers for Prometheus; nothing
//! that it is asked changes anything.

mod access;
mod log;
mod markup;
mod metrics;
mod page;
mod view;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use cli::{Args, Command, Exit, Failure, Opt};
use model::http::Request;
use os::clock;
use os::event_loop::EventLoop;
use os::http_server::{Answer, Asked, Asker, Place, Server, plain};
use os::sys::{inherit, signals};

use crate::applets::logger;
use view::View;

pub const COMMAND: Command = Command {
    name: "status-page",
    summary: "Serve a page with how everything is, and numbers for Prometheus",
    usage: "ward status-page [-u USER] [-n NAME]... [-l LIVE] [-d DIR] [-r FD] ADDRESS:PORT|/SOCKET...",
    options: &[
        Opt("-u USER", "Become this user, who is let in where how things are is told"),
        Opt("-n NAME", "A name of this device; by others nobody is answered; may be repeated"),
        Opt("-l, --live LIVE", "The live directory (default: /run/s6-rc)"),
        Opt("-d DIR", "The log directory (default: /run/uncaught-logs)"),
        Opt("-r FD", "Write a line there once it listens"),
    ],
    about: "\
Serves / (services, uplinks, the update, the start), /service?name=NAME, /log and /metrics by HTTP. It \
answers only GET and HEAD, only to callers who name an address, localhost or one of the NAMEs, and \
never changes anything. Whoever reaches it can read the log: give it an address at home.

Without -u it runs as whoever starts it. With -u, as root, it gives the group of USER the log \
directory to read and the socket of the manager to ask at, listens, and then becomes USER for good.

Exit codes: 100 wrong usage; 111 the system refused.

Examples:

  ward status-page 127.0.0.1:8080                      as whoever calls it
  ward status-page -u status-page 192.168.8.1:8080     as its template has it",
    run,
};

/// Lines of the head of every answer: nothing comes from elsewhere, nobody else shows it, nothing is kept.
const COMMON: &str = "\
Content-Security-Policy: default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
form-action 'self'; base-uri 'none'; frame-ancestors 'none'\r\n\
X-Content-Type-Options: nosniff\r\n\
Referrer-Policy: no-referrer\r\n\
Cross-Origin-Resource-Policy: same-origin\r\n";
const UNKEPT: &str = "Cache-Control: no-store\r\n";
/// Their addresses change with the version.
const KEPT: &str = "Cache-Control: max-age=604800\r\n";

const HTML: &str = "text/html; charset=utf-8";

const MANAGER: u64 = 0;
const FIRST_CALLER: u64 = 1;

fn run(args: &mut Args, _out: &mut dyn Write) -> Result<Exit, Failure> {
    let (mut live, mut logs) = (PathBuf::from("/run/s6-rc"), PathBuf::from(logger::DIRECTORY));
    let (mut user, mut names, mut ready) = (None, Vec::new(), None);
    while let Some(option) = args.option()? {
        match option.as_str() {
            "u" => user = Some(args.text()?),
            "n" => names.push(args.text()?),
            "l" | "live" => live = args.value()?.into(),
            "d" => logs = args.value()?.into(),
            "r" => ready = Some(args.parsed::<i32>()?),
            _ => return Err(args.unknown(&option)),
        }
    }
    let places: Vec<Place> = (args.rest().iter())
        .map(|word| {
            let place = word.to_str().and_then(Place::parse);
            place.ok_or_else(|| {
                Failure::usage(format!("{word:?} is no place to listen at"))
                    .hint("192.168.8.1:8080, [::1]:8080 and /run/status-page.sock are some")
            })
        })
        .collect::<Result<_, _>>()?;
    if places.is_empty() {
        return Err(Failure::usage("it needs a place to listen at: 192.168.8.1:8080, for one"));
    }
    signals::ignore_pipe();
    for place in &places {
        if let Place::Address(address) = place
            && address.ip().is_unspecified()
        {
            eprintln!("{address} is every address of this device, also that at the provider");
        }
    }
    let server = Server::open(&places, COMMON, FIRST_CALLER).map_err(|(place, error)| {
        let failure = Failure::refused(format!("cannot listen at {place}: {error}"));
        match error.kind() {
            std::io::ErrorKind::AddrInUse => failure.hint("another program listens there"),
            _ => failure,
        }
    })?;
    if let Some(user) = &user {
        let sockets = places.iter().filter_map(|place| match place {
            Place::Path(path) => Some(path.as_path()),
            Place::Address(_) => None,
        });
        access::become_user(user, &live, &logs, sockets)?;
    }
    let refused = |error| Failure::refused(format!("cannot wait for callers: {error}"));
    let mut events = EventLoop::new().map_err(refused)?;
    server.watch(&events).map_err(refused)?;
    if let Some(Ok(descriptor)) = ready.map(inherit::descriptor) {
        let _ = File::from(descriptor).write_all(b"\n");
    }
    let view = View::new(live);
    let mut program = Program { server, view, logs, names, waiting: Vec::new(), lines: None };
    loop {
        program.turn(&mut events).map_err(refused)?;
    }
}

struct Program {
    server: Server,
    view: View,
    logs: PathBuf,
    names: Vec<String>,
    /// Who waits for what the manager tells.
    waiting: Vec<(Asker, Request)>,
    /// Lines of the log that were counted so far, once anybody asked for that.
    lines: Option<metrics::Lines>,
}

impl Program {
    fn turn(&mut self, events: &mut EventLoop) -> std::io::Result<()> {
        let deadlines = [self.server.deadline(), self.view.deadline()];
        for (token, _) in events.wait(deadlines.into_iter().flatten().min())? {
            if token == MANAGER {
                self.view.hear();
            } else if let Some(asked) = self.server.hear(events, token, clock::now()) {
                self.asked(events, asked);
            }
        }
        let now = clock::now();
        self.view.tick(now);
        self.server.tick(events, now);
        if !self.view.asks() {
            for (asker, request) in std::mem::take(&mut self.waiting) {
                let answer = self.answer(&request);
                self.server.answer(events, asker, answer, now);
            }
        }
        Ok(())
    }

    fn asked(&mut self, events: &EventLoop, asked: Asked) {
        let Asked { asker, request, is_local } = asked;
        let now = clock::now();
        if !is_local && !request.is_meant(&self.names) {
            let answer = plain("421 Misdirected Request", UNKEPT);
            return self.server.answer(events, asker, answer, now);
        }
        if matches!(request.path.as_str(), "/" | "/service" | "/log" | "/metrics") {
            self.view.refresh(events, MANAGER, now);
            // All are answered at the end of the turn at the earliest, with the same.
            return self.waiting.push((asker, request));
        }
        let answer = self.answer(&request);
        self.server.answer(events, asker, answer, now);
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let ok = |kind, more, body: Vec<u8>| Answer { status: "200 OK", kind, more, body };
        match request.path.as_str() {
            "/" => ok(HTML, UNKEPT, page::overview(&mut self.view)),
            "/service" => {
                let name = request.value("name").unwrap_or_default();
                match page::service(&mut self.view, &self.logs, name) {
                    Some(body) => ok(HTML, UNKEPT, body),
                    None => plain("404 Not Found", UNKEPT),
                }
            }
            "/log" => {
                let wish =
                    log::Wish { service: request.value("service"), from: request.value("from") };
                ok(HTML, UNKEPT, log::page(&mut self.view, &self.logs, &wish))
            }
            "/metrics" => {
                let body = metrics::all(&mut self.view, &self.logs, &mut self.lines);
                ok("text/plain; version=0.0.4; charset=utf-8", UNKEPT, body)
            }
            "/page.css" => {
                ok("text/css; charset=utf-8", KEPT, include_bytes!("status_page/page.css").into())
            }
            "/page.js" => {
                let script = include_bytes!("status_page/page.js");
                ok("text/javascript; charset=utf-8", KEPT, script.into())
            }
            _ => plain("404 Not Found", UNKEPT),
        }
    }
}
