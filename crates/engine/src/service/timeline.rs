//! What became of each service and when: the last of it, in bounded memory,
//! for people who wonder what a start or a change has waited for.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use model::limits::{RUNS_MAX, SPANS_MAX};
use model::service::database::Index;
use model::service::live_state::{STARTING, STOPPING, UP};
use model::service::manager_request::SpanEnd;
use model::service::request::{Phase, SlotState};
use model::service::status::Exit;
use model::time::Moment;

/// One time that a service was brought up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub service: Index,
    /// It was to come up; otherwise to go down.
    pub up: bool,
    pub end: SpanEnd,
    /// The request that it belongs to. These count on over updates.
    pub change: u32,
    /// When that request was made; `None`: nobody remembers.
    pub asked: Option<Moment>,
    pub begun: Moment,
    /// As long as it goes on, that is when it began.
    pub ended: Moment,
}

/// One time that the process of a longrun, or a script, ran and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub service: Index,
    /// `None`: before anybody looked.
    pub begun: Option<Moment>,
    pub ended: Moment,
    pub exit: Exit,
}

/// The last spans and runs.
#[derive(Debug, Default)]
pub struct Timeline {
    /// In the order in which they began.
    spans: VecDeque<Span>,
    /// Spans were forgotten.
    forgotten: bool,
    /// In the order in which they ended.
    runs: VecDeque<Run>,
    /// When the process of each service began, as far as that was seen.
    begun: Vec<Option<Moment>>,
    /// The requests before the last update, or of managers before this one.
    earlier: u32,
}

/// What a state byte says of one service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    Down,
    Starting,
    Up,
    Stopping,
}

fn is(byte: u8) -> Is {
    match (byte & UP != 0, byte & STARTING != 0, byte & STOPPING != 0) {
        (false, true, _) => Is::Starting,
        (true, _, true) => Is::Stopping,
        (true, _, false) => Is::Up,
        // One that did not get up, and is being ended, counts as down.
        (false, false, _) => Is::Down,
    }
}

impl Timeline {
    /// The state byte of a service has changed, for the request with this place.
    pub fn stored(
        &mut self,
        now: Moment,
        service: Index,
        (old, new): (u8, u8),
        order: u32,
        asked: Option<Moment>,
    ) {
        let (was, is) = (is(old), is(new));
        if was == is {
            return;
        }
        if matches!(was, Is::Starting | Is::Stopping) {
            let done = (was, is) == (Is::Starting, Is::Up) || (was, is) == (Is::Stopping, Is::Down);
            self.end(now, service, if done { SpanEnd::Done } else { SpanEnd::Failed });
        }
        let (up, end) = match (was, is) {
            (_, Is::Starting) => (true, SpanEnd::Going),
            (_, Is::Stopping) => (false, SpanEnd::Going),
            // There is nothing to run.
            (Is::Down, Is::Up) => (true, SpanEnd::Done),
            (Is::Up, Is::Down) => (false, SpanEnd::Done),
            _ => return,
        };
        let change = self.earlier.saturating_add(order);
        self.push(Span { service, up, end, change, asked, begun: now, ended: now });
    }

    fn end(&mut self, now: Moment, service: Index, end: SpanEnd) {
        let mut spans = self.spans.iter_mut().rev();
        // It is the last of this service, or was forgotten.
        if let Some(span) = spans.find(|span| span.service == service)
            && span.end == SpanEnd::Going
        {
            (span.end, span.ended) = (end, now);
        }
    }

    /// A span that somebody before has remembered, by what the state byte says of its service by now.
    pub fn remember(&mut self, now: Moment, mut span: Span, byte: u8) {
        if span.end == SpanEnd::Going {
            let end = match (span.up, is(byte)) {
                (true, Is::Starting) | (false, Is::Stopping) => SpanEnd::Going,
                (true, Is::Up) | (false, Is::Down) => SpanEnd::Done,
                _ => SpanEnd::Failed,
            };
            (span.end, span.ended) = (end, if end == SpanEnd::Going { span.begun } else { now });
        }
        self.goes_on_behind(span.change);
        self.push(span);
    }

    /// Requests from now on come behind this one.
    pub fn goes_on_behind(&mut self, change: u32) {
        self.earlier = self.earlier.max(change);
    }

    /// There were others before.
    pub fn forget(&mut self) {
        self.forgotten = true;
    }

    fn push(&mut self, span: Span) {
        if self.spans.len() >= SPANS_MAX {
            self.spans.pop_front();
            self.forgotten = true;
        }
        self.spans.push_back(span);
    }

    /// How init says that a service is, and how it was. Both may be apart by
    /// more than one step: of several ends between them the last is heard of.
    pub fn told(
        &mut self,
        now: Moment,
        service: Index,
        was: Option<&SlotState>,
        state: &SlotState,
    ) {
        let at = service as usize;
        if self.begun.len() <= at {
            self.begun.resize(at + 1, None);
        }
        let has_ended = was.is_some_and(|was| ends(was) != ends(state));
        if let (Some(exit), true) = (state.exit, has_ended) {
            if self.runs.len() >= RUNS_MAX {
                self.runs.pop_front();
            }
            // Its start may have been missed by a manager that came later.
            let begun = self.begun[at].take();
            self.runs.push_back(Run { service, begun, ended: now, exit });
        }
        // It may have been started again before anybody heard of its end.
        if state.phase == Phase::Up {
            self.begun[at] = Some(state.since);
        }
    }

    /// Another database is in use: services have other numbers, and requests are counted anew.
    pub fn renumber(&mut self, newest: u32, new: &dyn Fn(Index) -> Option<Index>) {
        self.earlier = self.earlier.saturating_add(newest);
        self.spans.retain_mut(|span| new(span.service).map(|is| span.service = is).is_some());
        self.runs.retain_mut(|run| new(run.service).map(|is| run.service = is).is_some());
        for (was, begun) in core::mem::take(&mut self.begun).into_iter().enumerate() {
            if let (Some(_), Some(is)) = (begun, new(was as Index)) {
                let is = is as usize;
                self.begun.resize(self.begun.len().max(is + 1), None);
                self.begun[is] = begun;
            }
        }
    }

    /// The number of the change that a request since the last update stands for.
    pub fn change(&self, order: u32) -> u32 {
        self.earlier.saturating_add(order)
    }

    /// In the order in which they began.
    pub fn spans(&self) -> impl Iterator<Item = &Span> {
        self.spans.iter()
    }

    /// The last ends that are remembered, of all services, in the order in which they were.
    pub fn last_runs(&self) -> impl Iterator<Item = &Run> {
        let is_last =
            |at: usize, service| self.runs.range(at + 1..).all(|run| run.service != service);
        self.runs
            .iter()
            .enumerate()
            .filter(move |(at, run)| is_last(*at, run.service))
            .map(|it| it.1)
    }

    /// Older spans were forgotten.
    pub fn is_cut(&self) -> bool {
        self.forgotten
    }
}

/// How often the process or script of a service ended, as its starts and its process tell.
fn ends(state: &SlotState) -> u32 {
    let runs = state.pid != 0 && state.phase != Phase::Finishing;
    state.starts.wrapping_sub(runs.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    fn spans(timeline: &Timeline) -> Vec<(Index, bool, SpanEnd, u64, u64)> {
        let seconds = |moment: Moment| moment.nanos() / 1_000_000_000;
        timeline
            .spans()
            .map(|s| (s.service, s.up, s.end, seconds(s.begun), seconds(s.ended)))
            .collect()
    }

    #[test]
    fn each_way_up_and_down_is_one_span() {
        let mut timeline = Timeline::default();
        let mut bytes = [0; 4];
        for (second, service, byte) in [
            (1, 0, STARTING),
            (2, 1, UP), // it has no script
            (3, 0, UP),
            (4, 2, STARTING),
            (5, 2, STOPPING), // given up
            (6, 2, 0),
            (7, 0, UP | STOPPING),
            (8, 0, STARTING), // it was restarted at once
            (9, 1, 0),
        ] {
            let old = core::mem::replace(&mut bytes[service as usize], byte);
            timeline.stored(at(second), service, (old, byte), 1, Some(at(1)));
        }
        use SpanEnd::*;
        assert_eq!(
            spans(&timeline),
            [
                (0, true, Done, 1, 3),
                (1, true, Done, 2, 2),
                (2, true, Failed, 4, 5),
                (0, false, Failed, 7, 8),
                (0, true, Going, 8, 8),
                (1, false, Done, 9, 9),
            ]
        );
        assert!(!timeline.is_cut());
    }

    #[test]
    fn the_oldest_are_forgotten_and_an_end_without_a_beginning_is_nothing() {
        let mut timeline = Timeline::default();
        for service in 0..2 * SPANS_MAX as Index {
            timeline.stored(at(1), service, (0, STARTING), 1, None);
        }
        assert_eq!(timeline.spans().count(), SPANS_MAX);
        assert!(timeline.is_cut());
        timeline.stored(at(2), 0, (STARTING, UP), 1, None);
        assert!(timeline.spans().all(|span| span.end == SpanEnd::Going));
    }

    #[test]
    fn a_run_is_from_its_start_to_its_end_also_where_it_was_ready_between() {
        let mut timeline = Timeline::default();
        let state = |phase, starts, pid, since, exit| SlotState {
            phase,
            starts,
            pid,
            since: at(since),
            exit,
            ..SlotState::default()
        };
        let last =
            |of: &Timeline, service| of.last_runs().find(|run| run.service == service).copied();
        let exit = Some(Exit::Code(7));
        let mut was = None;
        let mut tell = |timeline: &mut Timeline, now, state: SlotState| {
            timeline.told(at(now), 3, was.as_ref(), &state);
            was = Some(state);
        };
        tell(&mut timeline, 10, state(Phase::Up, 1, 50, 10, None));
        tell(&mut timeline, 12, state(Phase::Ready, 1, 50, 12, None));
        tell(&mut timeline, 15, state(Phase::Finishing, 1, 51, 15, exit));
        tell(&mut timeline, 16, state(Phase::Waiting, 1, 0, 16, exit)); // its finish script has ended
        tell(&mut timeline, 20, state(Phase::Up, 1, 0, 20, exit)); // no process yet
        tell(&mut timeline, 20, state(Phase::Up, 2, 52, 20, exit));
        let run = last(&timeline, 3).unwrap();
        assert_eq!((run.begun, run.ended, run.exit), (Some(at(10)), at(15), Exit::Code(7)));
        assert_eq!(timeline.runs.len(), 1);
        // It is started again before anybody hears that it ended, in the same way.
        tell(&mut timeline, 33, state(Phase::Up, 3, 53, 33, exit));
        let run = last(&timeline, 3).unwrap();
        assert_eq!((run.begun, run.ended, timeline.runs.len()), (Some(at(20)), at(33), 2));
        tell(&mut timeline, 34, state(Phase::Down, 3, 0, 34, exit));
        assert_eq!(last(&timeline, 3).unwrap().begun, Some(at(33)));
        // A script has been counted before it has a process, and has not ended for that.
        let script = [
            state(Phase::Up, 1, 0, 40, None),
            state(Phase::Up, 1, 60, 40, None),
            state(Phase::Down, 1, 0, 41, exit),
        ];
        timeline.told(at(40), 0, Some(&SlotState::default()), &script[0]);
        timeline.told(at(40), 0, Some(&script[0]), &script[1]);
        assert_eq!(last(&timeline, 0), None);
        timeline.told(at(41), 0, Some(&script[1]), &script[2]);
        assert_eq!(last(&timeline, 0).unwrap().ended, at(41));
        // What a new manager hears first of a process that ended long ago is no end that it saw.
        let mut later = Timeline::default();
        later.told(at(99), 0, None, &state(Phase::Down, 1, 0, 50, exit));
        assert_eq!(last(&later, 0), None);
        for end in 0..10_000 {
            let up = state(Phase::Up, end, 70, 1, None);
            timeline.told(at(2), 1, Some(&up), &state(Phase::Down, end, 0, 2, exit));
        }
        assert_eq!(timeline.runs.len(), RUNS_MAX);
    }

    #[test]
    fn who_comes_later_goes_on_with_what_was_remembered() {
        let span = |service, up| Span {
            service,
            up,
            end: SpanEnd::Going,
            change: 7,
            asked: None,
            begun: at(1),
            ended: at(1),
        };
        use SpanEnd::*;
        for (up, byte, end, ended) in [
            (true, STARTING, Going, 1),
            (true, UP, Done, 5),
            (true, 0, Failed, 5),
            (true, UP | STOPPING, Failed, 5),
            (false, UP | STOPPING, Going, 1),
            (false, 0, Done, 5),
            (false, UP, Failed, 5),
        ] {
            let mut timeline = Timeline::default();
            timeline.remember(at(5), span(3, up), byte);
            assert_eq!(spans(&timeline), [(3, up, end, 1, ended)], "{byte}");
        }
        let mut timeline = Timeline::default();
        timeline.remember(at(5), span(3, true), STARTING);
        timeline.stored(at(6), 3, (STARTING, UP), 1, None);
        timeline.stored(at(7), 2, (0, UP), 1, None);
        assert_eq!(spans(&timeline), [(3, true, Done, 1, 6), (2, true, Done, 7, 7)]);
        assert_eq!(timeline.spans().last().map(|span| span.change), Some(8));
    }

    #[test]
    fn an_update_keeps_what_stays_under_its_new_number() {
        let mut timeline = Timeline::default();
        for service in 0..3 {
            timeline.stored(at(1), service, (0, UP), 5, None);
            let up = SlotState { phase: Phase::Up, since: at(1), ..SlotState::default() };
            timeline.told(at(1), service, None, &up);
        }
        timeline.renumber(7, &|service| [Some(9), None, Some(0)][service as usize]);
        let kept: Vec<Index> = timeline.spans().map(|span| span.service).collect();
        assert_eq!(kept, [9, 0]);
        assert_eq!((timeline.begun[9], timeline.begun[0]), (Some(at(1)), Some(at(1))));
        timeline.stored(at(2), 0, (UP, 0), 1, None);
        assert_eq!(timeline.spans().last().map(|span| span.change), Some(8));
        assert_eq!(timeline.change(2), 9);
    }
}
