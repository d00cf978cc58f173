//! Services in turn: which come first, and how patiently the next is tried.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Place, Settings, Wrong};
use crate::limits::MEMBERS_MAX;

/// What a round-robin controller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplinks {
    pub pace: Pace,
    /// Places in the list of controlled services, the preferred one first.
    pub order: Box<[usize]>,
}

/// How patient it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// A member may take so long to come up.
    pub start_limit: Duration,
    /// One that failed is left alone for so long; it doubles each time.
    pub back_off: Duration,
    pub back_off_max: Duration,
    /// One that was up for so long begins again with the shortest.
    pub healthy: Duration,
    /// Whether a better member is gone back to.
    pub fail_back: bool,
    /// How long after it failed, or after the one that serves came up.
    pub fail_back_after: Duration,
    /// A better member is started beside the one that serves, and the other one ends only when
    /// it has served for `dwell`.
    pub overlap: bool,
    /// A better member has to be up for so long before it counts.
    pub dwell: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            start_limit: Duration::from_secs(30),
            back_off: Duration::from_secs(5),
            back_off_max: Duration::from_secs(300),
            healthy: Duration::from_secs(120),
            fail_back: true,
            fail_back_after: Duration::from_secs(60),
            overlap: true,
            // Longer than a health check takes to find out that a line which came up is silent: with
            // its defaults that is twelve seconds.
            dwell: Duration::from_secs(20),
        }
    }
}

const OWN: &[&str] = &[
    "start-limit",
    "back-off",
    "back-off-max",
    "healthy",
    "fail-back",
    "fail-back-after",
    "overlap",
    "dwell",
];

/// Reads the settings of a round-robin controller, and those of each member.
///
/// # Errors
/// All that is wrong.
pub fn parse(own: &str, controlled: &[(&str, &str)]) -> Result<Uplinks, Vec<Wrong>> {
    let mut wrong = Vec::new();
    let pace = pace(own, &mut wrong);
    let mut say = |what| wrong.push(Wrong { place: Place::Own, line: 0, what });
    match controlled.len() {
        0 => say("it controls no service; `controls.d` has a file for each that is tried".into()),
        1 => say("it controls one service: with nothing to turn to, let that start at boot".into()),
        count if count > MEMBERS_MAX => {
            say(format!("it controls {count} services; {MEMBERS_MAX} at most are taken in turn"));
        }
        _ => {}
    }
    let mut order: Vec<(u32, usize)> = Vec::new();
    for (at, (name, text)) in controlled.iter().enumerate() {
        let mut place = u32::MAX;
        for setting in Settings::new(text).iter() {
            let read = match setting.key {
                "order" => setting.number().and_then(|number| {
                    place = number;
                    match order.iter().find(|(other, _)| *other == number) {
                        Some((_, other)) => {
                            let (other, _) = controlled[*other];
                            Err(format!(
                                "{other} has the order {number} as well; {name} needs its own"
                            ))
                        }
                        None => Ok(()),
                    }
                }),
                _ => Err(setting.unknown(&["order"])),
            };
            if let Err(what) = read {
                wrong.push(Wrong { place: Place::Controlled(at), line: setting.line, what });
            }
        }
        order.push((place, at));
    }
    // Those that say nothing come last, as they are listed.
    order.sort_unstable();
    let order = order.into_iter().map(|(_, at)| at).collect();
    if wrong.is_empty() { Ok(Uplinks { pace, order }) } else { Err(wrong) }
}

fn pace(own: &str, wrong: &mut Vec<Wrong>) -> Pace {
    let mut pace = Pace::default();
    let (mut start_line, mut back_off_line) = (0, 0);
    for setting in Settings::new(own).iter() {
        let line = setting.line;
        let read = match setting.key {
            "kind" => Ok(()),
            "start-limit" => {
                setting.millis().map(|time| (pace.start_limit, start_line) = (time, line))
            }
            "back-off" => {
                setting.millis().map(|time| (pace.back_off, back_off_line) = (time, line))
            }
            "back-off-max" => {
                setting.millis().map(|time| (pace.back_off_max, back_off_line) = (time, line))
            }
            "healthy" => setting.millis().map(|time| pace.healthy = time),
            "fail-back" => setting.yes().map(|yes| pace.fail_back = yes),
            "fail-back-after" => setting.millis().map(|time| pace.fail_back_after = time),
            "overlap" => setting.yes().map(|yes| pace.overlap = yes),
            "dwell" => setting.millis().map(|time| pace.dwell = time),
            _ => Err(setting.unknown(OWN)),
        };
        if let Err(what) = read {
            wrong.push(Wrong { place: Place::Own, line, what });
        }
    }
    let mut check = |right: bool, line: u32, what: &str| {
        if !right {
            wrong.push(Wrong { place: Place::Own, line, what: what.into() });
        }
    };
    check(!pace.start_limit.is_zero(), start_line, "nothing comes up in no time: start-limit is 0");
    let least = Duration::from_millis(10);
    check(pace.back_off >= least, back_off_line, "back-off is 10 milliseconds at least");
    check(pace.back_off <= pace.back_off_max, back_off_line, "back-off-max is less than back-off");
    pace
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_in_their_order() {
        let found = parse(
            "kind round-robin\ndwell 1000\noverlap no\n",
            &[("dsl", "order 2\n"), ("fibre", "order 1"), ("modem", ""), ("carrier-pigeon", "")],
        )
        .expect("well made");
        assert_eq!(*found.order, [1, 0, 2, 3]);
        assert_eq!((found.pace.dwell, found.pace.overlap), (Duration::from_secs(1), false));
        assert_eq!(found.pace.back_off, Pace::default().back_off);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let two = [("a", ""), ("b", "")];
        for (own, expected) in [
            ("dwel 5", "did you mean `dwell`?"),
            ("back-off 0", "at least"),
            ("back-off 5000\nback-off-max 10", "less than back-off"),
            ("start-limit 0", "in no time"),
            ("overlap maybe", "yes or no"),
            ("dwell long", "takes a number"),
        ] {
            let wrong = parse(own, &two).expect_err("it is refused");
            assert!(wrong[0].what.contains(expected), "{own}: {}", wrong[0]);
        }
        for (members, expected) in [
            (&[][..], "no service"),
            (&[("a", "")][..], "one service"),
            (&[("a", "order 1"), ("b", "order 1")][..], "a has the order 1 as well"),
            (&[("a", "oder 1"), ("b", "")][..], "did you mean `order`?"),
            (&[("a", "order first"), ("b", "")][..], "takes a number"),
        ] {
            let wrong = parse("", members).expect_err("it is refused");
            assert!(wrong[0].what.contains(expected), "{members:?}: {}", wrong[0]);
        }
    }
}
