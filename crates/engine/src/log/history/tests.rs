//! Logs of several boots, whose clocks were set.

use super::*;
use alloc::format;
use alloc::string::String;
use model::log::line::Lines;
use model::time::Moment;

const SECOND: i64 = 1_000_000_000;

fn boot(number: u8) -> Boot {
    core::array::from_fn(|_| b'0' + number)
}

/// A mark of a boot in which the clock says `wall` seconds, `up` after it began.
fn mark(number: u8, wall: i64, up: i64) -> Mark {
    let now = Moment::from_nanos((up * SECOND) as u64);
    Mark::new(boot(number), Date::from_nanos(wall * SECOND), now).unwrap()
}

/// Their lines, as the logger writes them.
fn mark_line(number: u8, wall: i64, up: i64) -> String {
    let mut log = Lines::new(0);
    mark(number, wall, up).write(Date::from_nanos(wall * SECOND), 0, &mut log);
    String::from_utf8(log.as_bytes().to_vec()).unwrap()
}

fn line(wall: i64, text: &str) -> String {
    let label = Date::from_nanos(wall * SECOND).label_text();
    format!("{} {text}\n", core::str::from_utf8(&label).unwrap())
}

/// Two boots. The first one's clock is set by 9,000 s, the second one's back by 20 s.
fn log() -> String {
    [
        line(50, "old before marks"),
        mark_line(1, 100, 0),
        line(110, "a one"),
        mark_line(1, 115, 15), // says nothing new
        line(120, "b two"),
        mark_line(1, 9_125, 25),
        line(9_130, "a three"),
        mark_line(2, 9_220, 5),
        line(9_225, "a four"),
        mark_line(2, 9_215, 20),
        line(9_216, "b five"),
    ]
    .concat()
}

fn marks() -> [Mark; 5] {
    [mark(1, 100, 0), mark(1, 115, 15), mark(1, 9_125, 25), mark(2, 9_220, 5), mark(2, 9_215, 20)]
}

fn sieve(wanted: Wanted) -> Sieve<'static> {
    let mut boots = Boots::default();
    marks().into_iter().for_each(|mark| boots.add(mark));
    Sieve { boots, named: true, ..Sieve::new(wanted, &|text| text != b"two") }
}

/// What a sieve lets through: seconds, whether they are corrected, service and text.
fn look(sieve: &mut Sieve<'_>) -> Vec<String> {
    let log = log();
    let mut found = Vec::new();
    for line in log.lines() {
        if let Some(entry) = sieve.look(line.as_bytes()) {
            let seconds = entry.date.unwrap().nanos_since_1970().unwrap() / SECOND;
            let service = String::from_utf8_lossy(entry.line.service.unwrap());
            let text = String::from_utf8_lossy(entry.line.text);
            let text = text.split_once(' ').map_or(&*text, |(first, _)| first);
            let star = if entry.corrected { "*" } else { "" };
            found.push(format!("{seconds}{star} {service} {text}"));
        }
    }
    found
}

#[test]
fn lines_before_the_clock_was_set_are_shown_at_their_real_time() {
    assert_eq!(
        look(&mut sieve(Wanted::default())),
        [
            "50 old before",
            "9110* a one",
            "9125 .logger boot", // the clock was set
            "9130 a three",
            "9200* .logger boot", // another boot
            "9205* a four",
            "9215 .logger boot",
            "9216 b five",
        ]
    );
}

#[test]
fn one_may_want_a_boot_a_service_or_a_time() {
    let wanted = Wanted { boot: Some(boot(1)), ..Wanted::default() };
    let first = ["9110* a one", "9125 .logger boot", "9130 a three"];
    assert_eq!(look(&mut sieve(wanted)), first);

    let services = ["b", "c"].map(|name| (name.into(), false)).to_vec();
    let mut some = sieve(Wanted { services, ..Wanted::default() });
    assert_eq!(look(&mut some), ["9216 b five"]);
    assert_eq!(
        some.wanted.services.iter().map(|(_, seen)| *seen).collect::<Vec<_>>(),
        [true, false]
    );

    let at = |secs| Some(Date::from_nanos(secs * SECOND));
    let wanted = Wanted { since: at(9_130), until: at(9_215), ..Wanted::default() };
    let between = ["9130 a three", "9200* .logger boot", "9205* a four", "9215 .logger boot"];
    assert_eq!(look(&mut sieve(wanted)), between);
}

#[test]
fn boots_are_counted_from_the_last_one() {
    let boots = sieve(Wanted::default()).boots;
    assert_eq!(boots.count(), 2);
    assert_eq!([0, 1, 2].map(|count| boots.back(count)), [Some(boot(2)), Some(boot(1)), None]);
}

#[test]
fn a_boot_that_was_found_elsewhere_is_the_one_before_the_last_unless_it_is_known() {
    let mut boots = sieve(Wanted::default()).boots;
    boots.add_before_last(mark(3, 9_150, 50));
    boots.add_before_last(mark(1, 9_100, 60));
    let order = [0, 1, 2, 3].map(|count| boots.back(count));
    assert_eq!(order, [Some(boot(2)), Some(boot(3)), Some(boot(1)), None]);
    let mut none = Boots::default();
    none.add_before_last(mark(3, 9_150, 50));
    assert_eq!(none.back(0), Some(boot(3)));
}

#[test]
fn a_clock_that_is_set_while_one_looks_corrects_what_comes_then() {
    let mut sieve = sieve(Wanted::default());
    (sieve.boots, sieve.live) = (Boots::default(), true);
    let found = look(&mut sieve);
    let corrected = found.iter().filter(|line| line.contains('*')).count();
    assert_eq!((found.len(), corrected), (8, 0));
    assert_eq!(sieve.boots.0, [marks()[2], marks()[4]]);
}

#[test]
fn a_part_is_passed_over_only_where_nothing_in_it_can_be_wanted() {
    let boots = sieve(Wanted::default()).boots;
    let at = |secs: i64| Date::from_nanos(secs * SECOND);
    let part = |number, wall, up| Part {
        head: Some((mark(number, wall, up), at(wall))),
        rotated: Some(at(wall)),
    };
    let headless = |secs| Part { head: None, rotated: Some(at(secs)) };
    // From 9100 to 9115, corrected.
    let (this, next) = (part(1, 100, 0), part(1, 115, 15));
    let since = |secs| Wanted { since: Some(at(secs)), ..Wanted::default() };
    let until = |secs| Wanted { until: Some(at(secs)), ..Wanted::default() };
    let of = |number| Wanted { boot: Some(boot(number)), ..Wanted::default() };
    for (this, next, wanted, expected) in [
        (this, Some(next), since(9_115), true),
        (this, Some(next), since(9_116), false),
        (this, Some(next), until(9_100), true),
        (this, Some(next), until(9_099), false),
        (this, Some(next), of(1), true),
        (this, Some(next), of(2), false),
        (this, None, since(99_999), true),            // it may grow
        (this, Some(part(2, 9_220, 5)), of(3), true), // what lies between is not known
        (this, Some(part(2, 9_220, 5)), since(99_999), true),
        (headless(10), Some(headless(20)), since(10), true),
        (headless(10), Some(headless(20)), since(11), false),
        (headless(10), Some(next), since(11), true), // marks say that the clock was set
        (Part::default(), None, since(11), true),
    ] {
        let found = this.may_hold(next.as_ref(), &boots, &wanted);
        assert_eq!(found, expected, "{this:?} {next:?} {wanted:?}");
    }
}
