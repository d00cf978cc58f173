//! The picture of a change: who waited for whom, and what its length came from.

use alloc::vec;
use alloc::vec::Vec;

use model::service::manager_request::SpanEnd;
use model::time::Moment;

/// One time that a service was brought up or down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    pub name: alloc::string::String,
    pub up: bool,
    pub end: SpanEnd,
    /// The request that it belongs to.
    pub change: u32,
    pub asked: Option<Moment>,
    pub begun: Moment,
    /// What goes on ends now.
    pub ended: Moment,
    /// What it had to wait for, by its name: its needs, and for one that goes down what needs it.
    pub needs: Vec<alloc::string::String>,
    pub needed_by: Vec<alloc::string::String>,
}

/// One change: all bars of one request, in the order in which they began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chart {
    pub change: u32,
    pub bars: Vec<Bar>,
    /// The bar whose end each one waited for.
    pub waited: Vec<Option<usize>>,
    /// The bars that the length of the whole came from, the first one first.
    pub critical: Vec<usize>,
    pub begun: Moment,
    pub ended: Moment,
}

/// The changes that bars belong to, the oldest first.
pub fn changes(bars: &[Bar]) -> Vec<u32> {
    let mut found: Vec<u32> = Vec::new();
    for bar in bars {
        if !found.contains(&bar.change) {
            found.push(bar.change);
        }
    }
    found
}

impl Chart {
    /// Of bars, in the order in which they began, those of one change; `None` where there are none.
    pub fn of(all: &[Bar], change: u32) -> Option<Self> {
        let bars: Vec<Bar> = all.iter().filter(|bar| bar.change == change).cloned().collect();
        let begun = bars.iter().map(|bar| bar.asked.unwrap_or(bar.begun).min(bar.begun)).min()?;
        let ended = bars.iter().map(|bar| bar.ended).max()?;
        let waited: Vec<Option<usize>> = (0..bars.len()).map(|at| awaited(&bars, at)).collect();
        let mut critical = Vec::new();
        // Of those that ended last, the one that took longest has the others behind it.
        let mut next = (0..bars.len())
            .max_by_key(|&at| (bars[at].ended, bars[at].ended.since(bars[at].begun)));
        let mut seen = vec![false; bars.len()];
        while let Some(at) = next.filter(|&at| !core::mem::replace(&mut seen[at], true)) {
            critical.push(at);
            next = waited[at];
        }
        critical.reverse();
        Some(Self { change, bars, waited, critical, begun, ended })
    }
}

/// What has ended last of all that a bar had to wait for.
fn awaited(bars: &[Bar], at: usize) -> Option<usize> {
    let bar = &bars[at];
    let before = |other: &usize| {
        let other = &bars[*other];
        let concerned = match (bar.up, other.up) {
            // It comes up again.
            (true, false) => other.name == bar.name,
            (true, true) => bar.needs.contains(&other.name),
            (false, false) => bar.needed_by.contains(&other.name),
            (false, true) => false,
        };
        concerned && other.end == SpanEnd::Done && other.ended <= bar.begun
    };
    (0..bars.len())
        .filter(|other| *other != at)
        .filter(before)
        .max_by_key(|&other| (bars[other].ended, bars[other].ended.since(bars[other].begun)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(1_000_000_000 + millis * 1_000_000)
    }

    fn bar(name: &str, up: bool, begun: u64, ended: u64, around: &[&str]) -> Bar {
        let around: Vec<_> = around.iter().map(ToString::to_string).collect();
        let (needs, needed_by) = if up { (around, Vec::new()) } else { (Vec::new(), around) };
        Bar {
            name: name.into(),
            up,
            end: SpanEnd::Done,
            change: 1,
            asked: Some(at(0)),
            begun: at(begun),
            ended: at(ended),
            needs,
            needed_by,
        }
    }

    fn path(chart: &Chart) -> Vec<&str> {
        chart.critical.iter().map(|&at| chart.bars[at].name.as_str()).collect()
    }

    #[test]
    fn the_path_is_of_those_that_were_waited_for_to_the_last() {
        let bars = [
            bar("fast", true, 0, 10, &[]),
            bar("slow", true, 0, 500, &[]),
            bar("alone", true, 0, 700, &[]),
            bar("user", true, 501, 600, &["fast", "slow"]),
            bar("top", true, 602, 800, &["user", "fast"]),
        ];
        let chart = Chart::of(&bars, 1).unwrap();
        assert_eq!(path(&chart), ["slow", "user", "top"]);
        let waited: Vec<Option<&str>> =
            chart.waited.iter().map(|at| at.map(|at| chart.bars[at].name.as_str())).collect();
        assert_eq!(waited, [None, None, None, Some("slow"), Some("user")]);
        assert_eq!((chart.begun, chart.ended), (at(0), at(800)));
    }

    #[test]
    fn what_stops_waits_for_those_that_need_it_and_starts_again_behind_that() {
        let bars = [
            bar("user", false, 0, 300, &[]),
            bar("base", false, 300, 310, &["user"]),
            bar("base", true, 310, 350, &[]),
            bar("user", true, 350, 360, &["base"]),
        ];
        let chart = Chart::of(&bars, 1).unwrap();
        assert_eq!(path(&chart), ["user", "base", "base", "user"]);
    }

    #[test]
    fn what_makes_no_sense_has_an_end() {
        // Each needs the other, all in one moment, and one ends before it begins.
        let mut odd = bar("c", true, 9, 1, &["a"]);
        odd.asked = None;
        let bars = [bar("a", true, 5, 5, &["b", "a"]), bar("b", true, 5, 5, &["a", "b"]), odd];
        let chart = Chart::of(&bars, 1).unwrap();
        assert!(!chart.critical.is_empty());
        assert_eq!(Chart::of(&bars, 2), None);
        assert_eq!(changes(&bars), [1]);
        assert_eq!(changes(&[]), [0; 0]);
    }

    #[test]
    fn nobody_waited_for_what_failed() {
        let mut failed = bar("base", true, 0, 400, &[]);
        failed.end = SpanEnd::Failed;
        let bars = [failed, bar("user", true, 400, 450, &["base"])];
        let chart = Chart::of(&bars, 1).unwrap();
        assert_eq!(path(&chart), ["user"]);
    }
}
