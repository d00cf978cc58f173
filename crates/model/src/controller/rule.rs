//! The rule of a service that is there for a device: which devices, and how it takes their coming and going.
//!
//! ```text
//! subsystem block
//! devtype partition
//! property PARTNAME=backup
//! parent-attr idVendor=0951
//! or
//! path */usb*/block/sd?
//! settle 200
//! ```

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::pattern::Pattern;
use super::{Place, Setting, Settings, Wrong};
use crate::limits::{ALTERNATIVES_MAX, ATTRIBUTE_NAME_BYTES_MAX};

/// What a hotplug controller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    pub pace: Pace,
    /// One for each controlled service, in their order.
    pub rules: Vec<Rule>,
}

/// How patient it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The wait after a start that failed; it doubles each time.
    pub retry: Duration,
    pub retry_max: Duration,
    /// A device that comes and goes has to be there for so long before its service starts
    /// again; it doubles each time.
    pub hold: Duration,
    pub hold_max: Duration,
    /// A service that was up for so long has neither failed nor flapped.
    pub healthy: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            retry: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
            hold: Duration::from_secs(1),
            hold_max: Duration::from_secs(15),
            healthy: Duration::from_secs(10),
        }
    }
}

/// Which devices one service is there for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// A device is meant where all terms of one of these are true.
    pub alternatives: Box<[Box<[Term]>]>,
    /// The device must have been there for so long.
    pub settle: Duration,
    /// Its device has gone while another is there: start again with that one.
    pub restart_when_replaced: bool,
    /// The name of a link in `/dev` to its node.
    pub link: Option<Box<str>>,
}

/// What must be true of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    Subsystem(Pattern),
    /// The property `DEVTYPE`.
    Devtype(Pattern),
    /// A line of its file `uevent`.
    Property(Box<str>, Pattern),
    /// A file of its folder.
    Attribute(Box<str>, Pattern),
    /// A file of the folder of a device that it is part of, however far above.
    ParentAttribute(Box<str>, Pattern),
    /// Its path below `/sys`.
    Path(Pattern),
    /// Whether a network device has its cable.
    Carrier(bool),
}

/// What a rule asks of a device, term by term: nothing is read that no term asks for.
pub trait Look {
    fn path(&self) -> &[u8];
    fn subsystem(&mut self) -> Option<&[u8]>;
    fn property(&mut self, name: &str) -> Option<&[u8]>;
    /// Without the end of its line.
    fn attribute(&mut self, name: &str) -> Option<&[u8]>;
    /// Whether a device above has the attribute, with a value that `fits`.
    fn parent_attribute(&mut self, name: &str, fits: &dyn Fn(&[u8]) -> bool) -> bool;
}

impl Rule {
    pub fn matches(&self, device: &mut dyn Look) -> bool {
        self.alternatives.iter().any(|terms| terms.iter().all(|term| term.holds(device)))
    }

    /// Whether a device of this subsystem may be meant.
    pub fn may_concern(&self, subsystem: Option<&[u8]>) -> bool {
        self.alternatives.iter().any(|terms| {
            terms.iter().all(|term| match term {
                Term::Subsystem(pattern) => subsystem.is_some_and(|name| pattern.matches(name)),
                _ => true,
            })
        })
    }

    fn terms(&self) -> impl Iterator<Item = &Term> {
        self.alternatives.iter().flatten()
    }

    /// Whether it asks for the cable, which no device event tells of.
    pub fn asks_for_carrier(&self) -> bool {
        self.terms().any(|term| matches!(term, Term::Carrier(_)))
    }

    /// Whether what happens to a device may change what is true of those below.
    pub fn asks_for_parents(&self) -> bool {
        self.terms().any(|term| matches!(term, Term::ParentAttribute(..)))
    }
}

impl Term {
    fn holds(&self, device: &mut dyn Look) -> bool {
        let fits =
            |value: Option<&[u8]>, pattern: &Pattern| value.is_some_and(|v| pattern.matches(v));
        match self {
            Self::Subsystem(pattern) => fits(device.subsystem(), pattern),
            Self::Devtype(pattern) => fits(device.property("DEVTYPE"), pattern),
            Self::Property(name, pattern) => fits(device.property(name), pattern),
            Self::Attribute(name, pattern) => fits(device.attribute(name), pattern),
            Self::ParentAttribute(name, pattern) => {
                device.parent_attribute(name, &|value| pattern.matches(value))
            }
            Self::Path(pattern) => pattern.matches(device.path()),
            // It cannot be read while the device is down, which is as good as no cable.
            Self::Carrier(wanted) => (device.attribute("carrier") == Some(b"1")) == *wanted,
        }
    }
}

const OWN: &[&str] = &["retry", "retry-max", "hold", "hold-max", "healthy"];
const TERMS: &[&str] = &[
    "subsystem",
    "devtype",
    "attr",
    "parent-attr",
    "property",
    "path",
    "carrier",
    "or",
    "settle",
    "replaced",
    "link",
];

/// Reads the settings of a hotplug controller, and the rule of each service.
///
/// # Errors
/// All that is wrong.
pub fn parse(own: &str, controlled: &[(&str, &str)]) -> Result<Rules, Vec<Wrong>> {
    let mut wrong = Vec::new();
    let pace = pace(own, &mut wrong);
    if controlled.is_empty() {
        let what = "it controls no service; `controls.d` has a file with the rule of each";
        wrong.push(Wrong { place: Place::Own, line: 0, what: what.into() });
    }
    let rules = controlled.iter().enumerate();
    let rules: Vec<Rule> = rules.map(|(at, (_, text))| rule(at, text, &mut wrong)).collect();
    if wrong.is_empty() { Ok(Rules { pace, rules }) } else { Err(wrong) }
}

fn pace(own: &str, wrong: &mut Vec<Wrong>) -> Pace {
    let mut pace = Pace::default();
    let (mut retry_line, mut hold_line) = (0, 0);
    for setting in Settings::new(own).iter() {
        let read = match setting.key {
            "kind" => Ok(()),
            "retry" => setting.millis().map(|time| (pace.retry, retry_line) = (time, setting.line)),
            "retry-max" => {
                setting.millis().map(|time| (pace.retry_max, retry_line) = (time, setting.line))
            }
            "hold" => setting.millis().map(|time| (pace.hold, hold_line) = (time, setting.line)),
            "hold-max" => {
                setting.millis().map(|time| (pace.hold_max, hold_line) = (time, setting.line))
            }
            "healthy" => setting.millis().map(|time| pace.healthy = time),
            _ => Err(setting.unknown(OWN)),
        };
        if let Err(what) = read {
            wrong.push(Wrong { place: Place::Own, line: setting.line, what });
        }
    }
    let mut check = |right: bool, line: u32, what: &str| {
        if !right {
            wrong.push(Wrong { place: Place::Own, line, what: what.into() });
        }
    };
    check(pace.retry >= Duration::from_millis(10), retry_line, "retry is 10 milliseconds at least");
    check(pace.retry <= pace.retry_max, retry_line, "retry-max is less than retry");
    check(pace.hold <= pace.hold_max, hold_line, "hold-max is less than hold");
    pace
}

fn rule(at: usize, text: &str, wrong: &mut Vec<Wrong>) -> Rule {
    let mut say = |line, what| wrong.push(Wrong { place: Place::Controlled(at), line, what });
    let mut alternatives = Vec::new();
    let mut terms: Vec<Term> = Vec::new();
    let mut rule = Rule {
        alternatives: [].into(),
        settle: Duration::ZERO,
        restart_when_replaced: false,
        link: None,
    };
    let mut or_line = None;
    let mut any_wrong = false;
    for setting in Settings::new(text).iter() {
        let read = match setting.key {
            "or" if !setting.value.is_empty() => {
                Err("`or` stands alone on its line; the next alternative begins below it".into())
            }
            "or" if terms.is_empty() => Err("there is nothing before this `or`".into()),
            "or" => {
                or_line = Some(setting.line);
                finish(&mut terms).map(|terms| alternatives.push(terms))
            }
            "settle" => setting.millis().map(|time| rule.settle = time),
            "replaced" => {
                replaced(setting.value).map(|restart| rule.restart_when_replaced = restart)
            }
            "link" => link(setting.value).map(|name| rule.link = Some(name)),
            _ => term(&setting).and_then(|term| add(&mut terms, term, setting.key)),
        };
        if let Err(what) = read {
            any_wrong = true;
            say(setting.line, what);
        }
    }
    match (terms.is_empty(), or_line) {
        (false, _) => match finish(&mut terms) {
            Ok(terms) => alternatives.push(terms),
            Err(what) => say(0, what),
        },
        (true, Some(line)) => say(line, "there is nothing behind this `or`".into()),
        // What stands there means something, once it is right.
        (true, None) if any_wrong => {}
        (true, None) => {
            let what = "the rule is empty: it would be true of every device; \
                        say at least its subsystem, such as `subsystem block`";
            say(0, what.into());
        }
    }
    if alternatives.len() > ALTERNATIVES_MAX {
        say(0, format!("there are more than {ALTERNATIVES_MAX} alternatives"));
    }
    rule.alternatives = alternatives.into();
    rule
}

fn term(setting: &Setting<'_>) -> Result<Term, String> {
    let value = setting.value;
    Ok(match setting.key {
        "subsystem" => Term::Subsystem(Pattern::parse(value)?),
        "devtype" => Term::Devtype(Pattern::parse(value)?),
        "path" => {
            if !value.starts_with(['/', '*', '?', '[']) {
                let what = "no path is like that: it begins below /sys, as in `/devices/…`";
                return Err(what.to_owned());
            }
            Term::Path(Pattern::parse(value)?)
        }
        "carrier" => Term::Carrier(setting.yes()?),
        "property" => {
            let (name, pattern) = pair(setting)?;
            if matches!(name, "ACTION" | "SEQNUM") {
                return Err(format!(
                    "a rule says what a device is, not what happens to it: its service is up \
                     while the device is there, without {name}"
                ));
            }
            Term::Property(name.into(), pattern)
        }
        "attr" | "parent-attr" => {
            let (name, pattern) = pair(setting)?;
            let parts = || name.split('/');
            if parts().any(|part| matches!(part, "" | "." | "..")) {
                let key = setting.key;
                return Err(format!(
                    "{key} takes the name of a file below the device, not `{name}`"
                ));
            }
            match setting.key {
                "attr" => Term::Attribute(name.into(), pattern),
                _ => Term::ParentAttribute(name.into(), pattern),
            }
        }
        _ => return Err(setting.unknown(TERMS)),
    })
}

/// `NAME=PATTERN`.
fn pair<'a>(setting: &Setting<'a>) -> Result<(&'a str, Pattern), String> {
    let Setting { key, value, .. } = *setting;
    let (name, pattern) = value.split_once('=').unwrap_or((value, ""));
    if name.is_empty() || pattern.is_empty() {
        return Err(format!(
            "{key} takes NAME=PATTERN, such as `{key} {}`, not `{value}`",
            match key {
                "property" => "DRIVER=usb-storage",
                _ => "idVendor=0951",
            }
        ));
    }
    if name.len() > ATTRIBUTE_NAME_BYTES_MAX {
        return Err(format!("the name is longer than {ATTRIBUTE_NAME_BYTES_MAX} bytes"));
    }
    Pattern::parse(pattern).map(|pattern| (name, pattern))
}

/// The same twice would both have to be true.
fn add(terms: &mut Vec<Term>, term: Term, key: &str) -> Result<(), String> {
    let twice = terms.iter().any(|other| match (other, &term) {
        (Term::Subsystem(_), Term::Subsystem(_))
        | (Term::Devtype(_), Term::Devtype(_))
        | (Term::Carrier(_), Term::Carrier(_)) => true,
        (Term::Property(a, _), Term::Property(b, _))
        | (Term::Attribute(a, _), Term::Attribute(b, _)) => a == b,
        _ => false,
    });
    terms.push(term);
    if twice {
        return Err(format!(
            "{key} is asked for twice, and both would have to be true; a line `or` separates alternatives"
        ));
    }
    Ok(())
}

/// One alternative, cheap questions first.
fn finish(terms: &mut Vec<Term>) -> Result<Box<[Term]>, String> {
    let mut terms = core::mem::take(terms);
    let carrier = terms.iter().any(|term| matches!(term, Term::Carrier(_)));
    let subsystem = terms.iter().find_map(|term| match term {
        Term::Subsystem(pattern) => Some(pattern),
        _ => None,
    });
    match subsystem {
        Some(pattern) if carrier && !pattern.matches(b"net") => {
            return Err("carrier is asked of network devices only: `subsystem net`".into());
        }
        None if carrier => terms.push(Term::Subsystem(Pattern::parse("net")?)),
        _ => {}
    }
    terms.sort_by_key(|term| match term {
        Term::Subsystem(_) => 0,
        Term::Path(_) => 1,
        Term::Devtype(_) | Term::Property(..) => 2,
        Term::Attribute(..) | Term::Carrier(_) => 3,
        Term::ParentAttribute(..) => 4,
    });
    Ok(terms.into())
}

fn replaced(value: &str) -> Result<bool, String> {
    match value {
        "keep" => Ok(false),
        "restart" => Ok(true),
        _ => Err(format!("replaced takes keep or restart, not `{value}`")),
    }
}

fn link(value: &str) -> Result<Box<str>, String> {
    let plain = value.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if plain && value.len() <= ATTRIBUTE_NAME_BYTES_MAX && !value.contains(char::is_whitespace) {
        return Ok(value.into());
    }
    Err(format!("link takes a name below /dev, such as `backup-disk`, not `{value}`"))
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::vec;

    use super::*;

    /// A device that is told by heart: its path, and `NAME=VALUE` with `@` before an attribute,
    /// `^` before one of a parent.
    #[derive(Default)]
    struct Pretended {
        path: &'static str,
        values: BTreeMap<&'static str, &'static str>,
        asked: Vec<String>,
    }

    impl Pretended {
        fn new(path: &'static str, values: &[(&'static str, &'static str)]) -> Self {
            Self { path, values: values.iter().copied().collect(), asked: Vec::new() }
        }

        fn get(&mut self, name: String) -> Option<&[u8]> {
            let found = self.values.get(&*name).map(|value| value.as_bytes());
            self.asked.push(name);
            found
        }
    }

    impl Look for Pretended {
        fn path(&self) -> &[u8] {
            self.path.as_bytes()
        }
        fn subsystem(&mut self) -> Option<&[u8]> {
            self.get("SUBSYSTEM".into())
        }
        fn property(&mut self, name: &str) -> Option<&[u8]> {
            self.get(name.into())
        }
        fn attribute(&mut self, name: &str) -> Option<&[u8]> {
            self.get(format!("@{name}"))
        }
        fn parent_attribute(&mut self, name: &str, fits: &dyn Fn(&[u8]) -> bool) -> bool {
            self.get(format!("^{name}")).is_some_and(fits)
        }
    }

    fn one(text: &str) -> Rule {
        parse("kind hotplug", &[("it", text)]).expect("well made").rules.remove(0)
    }

    #[test]
    fn a_device_is_meant_where_all_of_one_alternative_is_true() {
        let rule = one("subsystem block\ndevtype partition\nproperty PARTNAME=back*\n\
                        parent-attr idVendor=0951\nor\npath */mtdblock[0-9]\n");
        let partition = [
            ("SUBSYSTEM", "block"),
            ("DEVTYPE", "partition"),
            ("PARTNAME", "backup"),
            ("^idVendor", "0951"),
        ];
        for (missing, path, expected) in [
            ("", "/devices/usb1/block/sda/sda1", true),
            ("SUBSYSTEM", "/devices/usb1/block/sda/sda1", false),
            ("PARTNAME", "/devices/usb1/block/sda/sda1", false),
            ("^idVendor", "/devices/usb1/block/sda/sda1", false),
            ("^idVendor", "/devices/virtual/block/mtdblock3", true),
        ] {
            let mut device = Pretended::new(path, &partition);
            device.values.remove(missing);
            assert_eq!(rule.matches(&mut device), expected, "{path} without {missing}");
        }
        assert!(rule.asks_for_parents() && !rule.asks_for_carrier());
        assert!(rule.may_concern(Some(b"net")), "the second alternative says nothing of it");
        assert!(!one("subsystem block\n").may_concern(Some(b"net")));
    }

    #[test]
    fn what_is_dear_is_asked_last() {
        let rule = one("parent-attr idVendor=1\nattr size=1\nsubsystem block\n");
        let mut device = Pretended::new("/devices/x", &[("SUBSYSTEM", "net")]);
        assert!(!rule.matches(&mut device));
        assert_eq!(device.asked, ["SUBSYSTEM"]);
    }

    #[test]
    fn a_cable_is_one_of_a_network_device() {
        let rule = one("property INTERFACE=wan\ncarrier yes\n");
        let mut device =
            Pretended::new("/devices/x", &[("SUBSYSTEM", "net"), ("INTERFACE", "wan")]);
        assert!(!rule.matches(&mut device), "it is down, and says nothing");
        device.values.insert("@carrier", "1");
        assert!(rule.matches(&mut device) && rule.asks_for_carrier());
        device.values.insert("@carrier", "0");
        assert!(!rule.matches(&mut device));
    }

    #[test]
    fn bad_rules_are_refused_each_with_its_line() {
        for (text, line, expected) in [
            ("", 0, "the rule is empty"),
            ("settle 5\n", 0, "the rule is empty"),
            ("\nsubsytem block", 2, "did you mean `subsystem`?"),
            ("subsystem", 1, "the pattern is empty"),
            ("subsystem [a", 1, "without its `]`"),
            ("attr idVendor", 1, "takes NAME=PATTERN"),
            ("attr =x", 1, "takes NAME=PATTERN"),
            ("attr ../../x=1", 1, "a file below the device"),
            ("property ACTION=add", 1, "what a device is"),
            ("path usb", 1, "begins below /sys"),
            ("carrier up", 1, "yes or no"),
            ("subsystem usb\ncarrier yes", 0, "network devices only"),
            ("subsystem usb\nsubsystem net", 2, "asked for twice"),
            ("or\nsubsystem usb", 1, "nothing before"),
            ("subsystem usb\nor", 2, "nothing behind"),
            ("subsystem usb\nor subsystem net", 2, "alone on its line"),
            ("subsystem usb\nreplaced never", 2, "keep or restart"),
            ("subsystem usb\nlink ../sda", 2, "a name below /dev"),
            ("subsystem usb\nsettle soon", 2, "takes a number"),
        ] {
            let wrong = parse("kind hotplug", &[("a", "subsystem x"), ("b", text)])
                .expect_err("it is refused");
            let first = &wrong[0];
            assert_eq!((first.place, first.line), (Place::Controlled(1), line), "{text}: {first}");
            assert!(first.what.contains(expected), "{text}: {first}");
        }
        for (text, expected) in [
            ("retry 0", "10 milliseconds"),
            ("retry 5000\nretry-max 1000", "less than retry"),
            ("hold 99999", "less than hold"),
            ("rety 1", "did you mean `retry`?"),
        ] {
            let wrong = parse(text, &[("a", "subsystem x")]).expect_err("it is refused");
            assert!(wrong[0].what.contains(expected), "{text}: {}", wrong[0]);
        }
        assert!(parse("kind hotplug", &[]).expect_err("none").len() == 1);
        // All mistakes at once.
        let two = [("a", "x 1\ny 2"), ("b", "subsystem [")];
        assert_eq!(parse("z", &two).expect_err("refused").len(), 4);
    }

    #[test]
    fn settings_of_a_rule_stand_anywhere() {
        let text = "settle 200\nsubsystem block\nreplaced restart\nor\nsubsystem mtd\nlink a/b\n";
        let rule = one(text);
        assert_eq!(rule.settle, Duration::from_millis(200));
        assert!(rule.restart_when_replaced);
        assert_eq!((rule.link.as_deref(), rule.alternatives.len()), (Some("a/b"), 2));
        let rules = parse("kind hotplug\nretry 10\nhold 0", &[("a", text)]).expect("well made");
        assert_eq!(rules.pace.retry, Duration::from_millis(10));
        assert_eq!(rules.rules, vec![rule]);
    }
}
