//! What a health check is told: what it asks, how often, and what becomes of a service that is sick.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::{Place, Setting, Settings, Wrong};
use crate::dns;
use crate::limits::{CHECK_TRIES_MAX, CHECKS_MAX, INTERFACE_BYTES_MAX};
use crate::log::target::Target;
use crate::service::execline;
use crate::service::name::{self, nearest};

/// The condition that says what comes of all checks; the others are about one each.
pub const HEALTHY: &str = "healthy";

/// All of one health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    pub service: Box<str>,
    pub manner: Manner,
    /// `None`: what fits whoever else controls the service.
    pub on_sick: Option<OnSick>,
    pub checks: Vec<Check>,
}

/// What is done with a service that is sick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSick {
    Restart,
    /// Down it goes: somebody else starts what stands in for it.
    Down,
}

/// How often is asked, and what the answers are worth.
///
/// A *round* asks every check once, all at the same time. It is good where at
/// least `quorum` of them succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// From the start of a good round to the next.
    pub interval: Duration,
    /// From the start of a bad round to the next.
    pub retry: Duration,
    /// A check that takes longer has failed.
    pub timeout: Duration,
    /// So often a probe asks within that time until it is answered.
    pub tries: u32,
    /// Each interval is longer by up to this, at random.
    pub jitter: Duration,
    /// Bad rounds in a row until the service is sick.
    pub threshold: u32,
    /// Good rounds in a row until it is healthy.
    pub rise: u32,
    /// Bad rounds do not count so long after the service came up, unless one was good since.
    pub grace: Duration,
    /// Checks that must succeed.
    pub quorum: u32,
    /// Between the first restart and the second; each wait is twice as long as the one before.
    pub wait: Duration,
    pub wait_max: Duration,
    /// After being healthy for so long the first wait is the next.
    pub calm: Duration,
}

/// Without a command among the checks: a provider that goes silent is found
/// out within seven seconds, and three targets behind a link that loses a
/// fifth of all packets raise no false alarm in a day. The table in
/// `docs/health.md` is made from these.
const PROBES: Manner = Manner {
    interval: Duration::from_millis(2000),
    retry: Duration::from_millis(1500),
    timeout: Duration::from_millis(1500),
    tries: 5,
    jitter: Duration::from_millis(200),
    threshold: 3,
    rise: 3,
    grace: Duration::from_secs(5),
    quorum: 1,
    wait: Duration::from_secs(10),
    wait_max: Duration::from_secs(300),
    calm: Duration::from_secs(300),
};

/// With one: it costs processes, and takes as long as it likes.
const COMMANDS: Manner = Manner {
    interval: Duration::from_secs(10),
    retry: Duration::from_secs(5),
    timeout: Duration::from_secs(5),
    jitter: Duration::from_secs(1),
    ..PROBES
};

/// More often than this is a load, and tells nothing more.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

impl Default for Manner {
    fn default() -> Self {
        PROBES
    }
}

impl Manner {
    /// What is good for these checks, where nothing else is said.
    pub fn fitting(checks: &[Check]) -> Self {
        match checks.iter().any(|check| matches!(check.method, Method::Command(_))) {
            true => COMMANDS,
            false => PROBES,
        }
    }

    /// The longest time from the moment when everything falls silent until the
    /// service is found sick, unless it has only just come up.
    pub fn detection_max(&self) -> Duration {
        let between = self.retry.max(self.timeout);
        self.interval.max(self.timeout)
            + self.jitter
            + between * (self.threshold - 1)
            + self.timeout
    }
}

/// One thing that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// As it was written.
    pub text: Box<str>,
    pub method: Method,
    pub way: Way,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// Whether a host answers an echo.
    Icmp { host: Box<str> },
    /// Whether it takes a connection.
    Tcp { host: Box<str>, port: u16 },
    /// Whether a name server knows an address; those of this device unless one is named.
    Dns { name: Box<str>, kind: u16, server: Option<SocketAddr> },
    /// Whether an HTTP server answers with this status, or with one of 200 to 399.
    Http { host: Box<str>, port: u16, path: Box<str>, status: Option<u16> },
    /// Whether a program exits 0.
    Command(Vec<Box<[u8]>>),
}

/// Where questions go through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    pub interface: Option<Box<str>>,
    pub source: Option<IpAddr>,
}

const KEYS: [&str; 15] = [
    "check",
    "interval",
    "retry",
    "timeout",
    "tries",
    "jitter",
    "threshold",
    "rise",
    "grace",
    "quorum",
    "on-sick",
    "wait",
    "wait-max",
    "calm",
    "kind",
];

const METHODS: [&str; 5] = ["icmp", "tcp", "dns", "http", "command"];

/// Reads `controller` and the file of the one service in `controls.d`: both
/// may hold any of the settings.
///
/// # Errors
/// Everything that is wrong, not the first only.
pub fn parse(own: &str, controlled: &[(&str, &str)]) -> Result<HealthCheck, Vec<Wrong>> {
    let mut wrongs = Vec::new();
    let &[(service, text)] = controlled else {
        let what = match controlled.len() {
            0 => "it checks no service: controls.d needs a file named like the service",
            _ => "it checks one service: make a health check for each",
        };
        return Err(Vec::from([Wrong { place: Place::Own, line: 0, what: what.into() }]));
    };
    let settings = || {
        let own = Settings::new(own).iter().map(|setting| (Place::Own, setting));
        let its = Settings::new(text).iter().map(|setting| (Place::Controlled(0), setting));
        own.chain(its)
    };
    let mut checks = Vec::new();
    for (place, Setting { line, value, .. }) in settings().filter(|(_, it)| it.key == "check") {
        match Check::parse(value) {
            Ok(check) => checks.push(check),
            Err(what) => wrongs.push(Wrong { place, line, what }),
        }
    }
    let defaults = Manner::fitting(&checks);
    let mut manner = defaults;
    let (mut on_sick, mut all, mut seen) = (None, false, Vec::new());
    for (place, setting) in settings().filter(|(_, it)| !matches!(it.key, "check" | "kind")) {
        let twice = seen.contains(&setting.key);
        if !twice && KEYS.contains(&setting.key) {
            seen.push(setting.key);
        }
        let result = match twice {
            true => Err(format!("{} is said twice", setting.key)),
            false if setting.key == "on-sick" => {
                OnSick::parse(setting.value).map(|it| on_sick = Some(it))
            }
            false if (setting.key, setting.value) == ("quorum", "all") => {
                all = true;
                Ok(())
            }
            false => manner.set(setting),
        };
        wrongs.extend(result.err().map(|what| Wrong { place, line: setting.line, what }));
    }
    let said = |key| seen.contains(&key);
    // What was left unsaid fits what was said.
    if !said("timeout") {
        manner.timeout = defaults.timeout.min(manner.interval);
    }
    if !said("retry") {
        manner.retry = manner.timeout.min(manner.interval);
    }
    if !said("jitter") {
        manner.jitter = manner.interval / 10;
    }
    if !said("wait-max") {
        manner.wait_max = manner.wait_max.max(manner.wait);
    }
    let mut own = |what: String| wrongs.push(Wrong { place: Place::Own, line: 0, what });
    // Where a check is wrong, nothing is said of their number.
    let count = settings().filter(|(_, it)| it.key == "check").count();
    match count {
        0 => own("it asks nothing: it needs a line such as `check icmp 9.9.9.9`".into()),
        _ if count > CHECKS_MAX => {
            own(format!("{count} checks are too many: at most {CHECKS_MAX} fit"))
        }
        _ => {}
    }
    if all {
        manner.quorum = count as u32;
    }
    if count > 0 && manner.quorum as usize > count {
        own(format!("{} of {count} checks can never succeed: lower quorum", manner.quorum));
    }
    if manner.wait_max < manner.wait {
        own("wait-max is shorter than wait".into());
    }
    match wrongs.is_empty() {
        true => Ok(HealthCheck { service: service.into(), manner, on_sick, checks }),
        false => Err(wrongs),
    }
}

impl Manner {
    fn set(&mut self, setting: Setting<'_>) -> Result<(), String> {
        let at_least = |least: Duration| {
            let value = setting.millis()?;
            match value < least {
                true => Err(format!("{} is at least {} ms", setting.key, least.as_millis())),
                false => Ok(value),
            }
        };
        let count = |most: u32| match setting.number()? {
            value if (1..=most).contains(&value) => Ok(value),
            _ if most == u32::MAX => Err(format!("{} is at least 1", setting.key)),
            _ => Err(format!("{} is from 1 to {most}", setting.key)),
        };
        match setting.key {
            "interval" => self.interval = at_least(INTERVAL_MIN)?,
            "retry" => self.retry = at_least(INTERVAL_MIN)?,
            "timeout" => self.timeout = at_least(Duration::from_millis(10))?,
            "tries" => self.tries = count(CHECK_TRIES_MAX)?,
            "jitter" => self.jitter = setting.millis()?,
            "threshold" => self.threshold = count(u32::MAX)?,
            "rise" => self.rise = count(u32::MAX)?,
            "grace" => self.grace = setting.millis()?,
            "quorum" => {
                self.quorum = count(u32::MAX).map_err(|what| format!("{what}, or all"))?;
            }
            "wait" => self.wait = setting.millis()?,
            "wait-max" => self.wait_max = setting.millis()?,
            "calm" => self.calm = setting.millis()?,
            _ => return Err(setting.unknown(&KEYS)),
        }
        Ok(())
    }
}

impl OnSick {
    fn parse(word: &str) -> Result<Self, String> {
        match word {
            "restart" => Ok(Self::Restart),
            "down" => Ok(Self::Down),
            word => Err(format!("on-sick takes restart or down, not `{word}`")),
        }
    }
}

impl Check {
    /// Reads what stands behind `check`.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (method, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        let check = |method, way| Self { text: text.into(), method, way };
        if method == "command" {
            return command(rest).map(|words| check(Method::Command(words), Way::default()));
        }
        let mut words = rest.split_ascii_whitespace();
        let mut way = Way::default();
        let method = match method {
            "icmp" => {
                let host = host(words.next(), "icmp 9.9.9.9")?;
                words.read("check icmp", &mut way, &[], |_, _| Ok(()))?;
                Method::Icmp { host }
            }
            "tcp" => {
                let host = host(words.next(), "tcp 9.9.9.9 443")?;
                let port = port(words.next())?;
                words.read("check tcp", &mut way, &[], |_, _| Ok(()))?;
                Method::Tcp { host, port }
            }
            "dns" => {
                let name = host(words.next(), "dns example.org server 9.9.9.9")?;
                if name.starts_with('@') {
                    return Err(format!("`{name}` is an output, and dns asks for a name"));
                }
                let (mut kind, mut server) = (dns::ADDRESS_4, None);
                words.read("check dns", &mut way, &["server", "type"], |key, word| {
                    match (key, word) {
                        ("type", "A") => kind = dns::ADDRESS_4,
                        ("type", "AAAA") => kind = dns::ADDRESS_6,
                        ("type", _) => return Err(format!("type is A or AAAA, not `{word}`")),
                        _ => server = Some(name_server(word)?),
                    }
                    Ok(())
                })?;
                Method::Dns { name, kind, server }
            }
            "http" => {
                let url = words.next().unwrap_or("");
                let (host, port, path) = match Target::parse(url) {
                    Ok(Target::Http { server, path, .. }) => (server.host, server.port, path),
                    _ if url.starts_with("https:") => {
                        return Err("there is no TLS here: `check tcp HOST 443` tells whether \
                                    somebody listens, `check command` may call a program that \
                                    has it"
                            .into());
                    }
                    _ => return Err(format!("`{url}` is no http://HOST[:PORT]/PATH")),
                };
                let mut status = None;
                words.read("check http", &mut way, &["status"], |_, word| {
                    let number = word.parse().ok().filter(|it| (100..1000).contains(it));
                    status = Some(number.ok_or(format!("`{word}` is no status of HTTP"))?);
                    Ok(())
                })?;
                Method::Http { host: host.into(), port, path: path.into(), status }
            }
            "" => return Err(format!("it needs a method: {}", METHODS.join(", "))),
            other => {
                return Err(match nearest(other, METHODS) {
                    Some(near) => format!("no method is named `{other}`; did you mean `{near}`?"),
                    None => {
                        format!("no method is named `{other}`; there are {}", METHODS.join(", "))
                    }
                });
            }
        };
        let families = [way.source, method.peer()].map(|address| address.map(|it| it.is_ipv4()));
        if let [Some(own), Some(other)] = families
            && own != other
        {
            return Err("source is of another kind than the address that is asked".into());
        }
        Ok(check(method, way))
    }
}

impl Method {
    /// The address that is asked, where none has to be looked up.
    fn peer(&self) -> Option<IpAddr> {
        match self {
            Self::Icmp { host } | Self::Tcp { host, .. } | Self::Http { host, .. } => {
                host.parse().ok()
            }
            Self::Dns { server, .. } => server.map(|server| server.ip()),
            Self::Command(_) => None,
        }
    }
}

/// Pairs of words behind what a method asks.
trait Pairs {
    fn read(
        &mut self,
        what: &str,
        way: &mut Way,
        own: &[&'static str],
        set: impl FnMut(&str, &str) -> Result<(), String>,
    ) -> Result<(), String>;
}

impl<'a, I: Iterator<Item = &'a str>> Pairs for I {
    fn read(
        &mut self,
        what: &str,
        way: &mut Way,
        own: &[&'static str],
        mut set: impl FnMut(&str, &str) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut seen = Vec::new();
        while let Some(key) = self.next() {
            let known = [own, &["interface", "source"]].concat();
            if !known.contains(&key) {
                let hint = match nearest(key, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it takes {}", known.join(", ")),
                };
                return Err(format!("{what} takes no `{key}`; {hint}"));
            }
            let word = self.next().ok_or_else(|| format!("nothing stands behind {key}"))?;
            if seen.contains(&key) {
                return Err(format!("{key} is said twice"));
            }
            seen.push(key);
            match key {
                "interface" => way.interface = Some(interface(word)?),
                "source" => {
                    let address = word.parse();
                    way.source = Some(address.map_err(|_| format!("`{word}` is no address"))?);
                }
                _ => set(key, word)?,
            }
        }
        Ok(())
    }
}

/// The service and the name of its output that are written as a host, which is `@SERVICE/NAME`: the
/// address is what that says by then.
pub fn output(host: &str) -> Option<(&str, &str)> {
    let (service, key) = host.strip_prefix('@')?.split_once('/')?;
    let is_key = !key.is_empty() && !key.starts_with('.') && !key.contains('/');
    (is_key && name::check(service.as_bytes()).is_ok()).then_some((service, key))
}

fn host(word: Option<&str>, example: &str) -> Result<Box<str>, String> {
    let word = word.ok_or_else(|| format!("nobody is asked: write for example `{example}`"))?;
    if word.starts_with('@') {
        return match output(word) {
            Some(_) => Ok(word.into()),
            None => Err(format!("`{word}` names no output: that is @SERVICE/NAME")),
        };
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_name = word.bytes().all(plain) && dns::question(0, word, dns::ADDRESS_4).is_some();
    // A name of digits only is an address that somebody mistyped.
    let is_number = word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match word.parse::<IpAddr>().is_ok() || (is_name && !is_number) {
        true => Ok(word.into()),
        false => Err(format!("`{word}` is no name and no address")),
    }
}

fn port(word: Option<&str>) -> Result<u16, String> {
    let word = word.ok_or("it needs a port behind the host")?;
    let port = word.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| format!("`{word}` is no port"))
}

/// `9.9.9.9`, `9.9.9.9:53`, `[fd00::1]:53`.
fn name_server(word: &str) -> Result<SocketAddr, String> {
    let plain = word.parse::<IpAddr>().map(|address| SocketAddr::new(address, dns::PORT));
    let found = plain.or_else(|_| word.parse());
    found.map_err(|_| format!("server takes an address (of a name server), not `{word}`"))
}

fn interface(word: &str) -> Result<Box<str>, String> {
    let bad = word.len() > INTERFACE_BYTES_MAX || word.contains('/') || [".", ".."].contains(&word);
    match bad {
        true => Err(format!("`{word}` is no name of an interface")),
        false => Ok(word.into()),
    }
}

fn command(text: &str) -> Result<Vec<Box<[u8]>>, String> {
    let words = execline::parse(text.as_bytes()).map_err(|error| format!("{}", error.fault))?;
    match words.first() {
        None => Err("nothing is called: write for example `check command /bin/true`".into()),
        Some(word) if word.is_empty() => Err("the name of the program is empty".into()),
        Some(_) => Ok(words),
    }
}

#[cfg(test)]
mod tests;
