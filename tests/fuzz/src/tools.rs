//! Readers of what small programs are given: accounts, zones, labels, variables.

use model::account::{find_group, find_user, groups_of};
use model::environment::{Rule, value};
use model::label::{Localizer, Reading, Stamper, append_local, parse};
use model::time::Date;
use model::zone::Zone;

// s6-setuidgid reads /etc/passwd and /etc/group as root.
pub fn accounts(bytes: &[u8]) {
    let name = bytes.split(|&b| b == b':').next().unwrap_or_default();
    let found = find_user(bytes, name);
    assert!(found.is_none() || !name.is_empty(), "nobody has no name");
    let _ = find_group(bytes, name);
    assert!(groups_of(bytes, name).len() <= bytes.len());
}

// s6-envdir reads files that anybody may have put into a directory.
pub fn environment(bytes: &[u8]) {
    for (verbatim, keep_end) in [(false, false), (false, true), (true, false), (true, true)] {
        let value = value(bytes, Rule { verbatim, keep_end, null: b'?' });
        assert_eq!(value.is_none(), bytes.is_empty());
        let value = value.unwrap_or_default();
        assert!(value.len() <= bytes.len() && !value.contains(&0));
        assert!(verbatim || !value.contains(&b'\n'));
    }
}

// s6-tai64nlocal reads the file, or takes the string, that TZ names.
pub fn zone(bytes: &[u8]) {
    for zone in [Zone::from_tzif(bytes), Zone::from_rule(bytes)].into_iter().flatten() {
        for unix in [i64::MIN, -1 << 40, -1, 0, 1_700_000_000, 67_767_976_233_532_799, i64::MAX] {
            assert!(i64::from(zone.east(unix)).abs() <= 8 * 86_400);
        }
        let _ = append_local(Date::from_unix(1 << 34, 0), Reading::Tai, &zone, &mut Vec::new());
    }
}

// Both label filters read streams of anything, in pieces of any size.
pub fn labels(bytes: &[u8]) {
    let zone = Zone::UTC;
    let local = |size: usize, reading: Reading| {
        let (mut filter, mut out) = (Localizer::new(&zone, reading), Vec::new());
        bytes.chunks(size).for_each(|piece| filter.push(piece, &mut out));
        filter.end(&mut out);
        out
    };
    let stamped = |size: usize| {
        let (mut filter, mut out) = (Stamper::default(), Vec::new());
        let mut now = || Date::from_unix(1_700_000_000, 7);
        bytes.chunks(size).for_each(|piece| filter.push(piece, &mut now, &mut out));
        filter.end(&mut now, &mut out);
        out
    };
    for reading in [Reading::Tai, Reading::UnixPlusTen] {
        assert_eq!(local(1, reading), local(usize::MAX, reading));
    }
    assert_eq!(stamped(3), stamped(usize::MAX));
    for text in bytes.windows(25) {
        if let Some(date) = parse(text.try_into().expect("25 bytes")) {
            assert!(date.label_text().eq_ignore_ascii_case(text));
        }
    }
}
