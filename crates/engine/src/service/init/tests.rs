//! One longrun and one oneshot, step by step.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use model::bytes::{Reader, Writer};
use model::service::database::{Longrun, Script};
use model::service::request::{GaveUp, Phase};
use model::service::status::Exit;

use super::*;
use crate::machine::Program;
use crate::service::supervise::Rules;

/// Starts what it is asked to, or fails with the errno it was given.
#[derive(Default)]
struct Pretend {
    pids: u32,
    refuse: Option<u16>,
    announced: String,
    spawned: Vec<Program>,
    killed: Vec<(u32, u8, bool)>,
    left: bool,
    saved: Vec<u8>,
}

impl World for Pretend {
    fn act(&mut self, slot: Slot, unit: &Unit, action: Action) -> Option<Event> {
        if matches!(action, Action::Spawn(_) | Action::Kill { .. }) {
            self.save(slot, unit);
        }
        match action {
            Action::Spawn(program) => {
                if let Some(errno) = self.refuse {
                    return Some(Event::SpawnFailed { errno });
                }
                self.pids += 1;
                self.spawned.push(program);
                return Some(Event::Started { pid: self.pids });
            }
            Action::Announce(event) => self.announced.push(char::from(event)),
            Action::Kill { pid, signal, group } => self.killed.push((pid, signal, group)),
            Action::Leave => self.left = true,
            Action::Tally(_) | Action::StayDown(_) => {}
        }
        None
    }

    fn save(&mut self, _slot: Slot, unit: &Unit) {
        let mut w = Writer::new();
        match unit {
            Unit::Longrun(supervisor) => supervisor.save(&mut w),
            Unit::Oneshot(runner) => runner.save(&mut w),
        }
        self.saved = w.into_bytes();
    }
}

fn secs(secs: u64) -> Moment {
    Moment::from_nanos(secs * 1_000_000_000)
}

struct Story {
    init: Init,
    world: Pretend,
    slot: Slot,
}

impl Story {
    fn longrun(longrun: Longrun, wanted_up: bool) -> Self {
        let (mut init, mut world) = (Init::default(), Pretend::default());
        let unit = Unit::Longrun(Supervisor::new(Rules::from(&longrun), wanted_up, secs(100)));
        let slot = init.add(unit).unwrap();
        init.begin(secs(100), slot, &mut world);
        Self { init, world, slot }
    }

    fn at(&mut self, second: u64, event: Event) -> &mut Self {
        self.init.expire(secs(second), &mut self.world);
        self.init.event(secs(second), self.slot, event, &mut self.world);
        self
    }

    fn letters(&mut self, second: u64, letters: &str) -> &mut Self {
        for letter in letters.bytes() {
            self.at(second, Event::Control(letter));
        }
        self
    }

    fn dies(&mut self, second: u64, exit: Exit) -> &mut Self {
        let pid = self.state().pid;
        self.at(second, Event::Exited { pid, exit })
    }

    fn waits(&mut self, second: u64) -> &mut Self {
        self.init.expire(secs(second), &mut self.world);
        self
    }

    /// Init falls and goes on from what was saved last; the kernel wrote down
    /// that it had started `spawned`.
    fn falls(&mut self, second: u64, longrun: &Longrun, spawned: u32) -> &mut Self {
        let mut reader = Reader::new(&self.world.saved);
        let supervisor = Supervisor::load(Rules::from(longrun), &mut reader).unwrap();
        self.init = Init::default();
        assert!(self.init.restore(self.slot, Unit::Longrun(supervisor)));
        self.init.resume(secs(second), self.slot, spawned, &mut self.world);
        self
    }

    fn state(&self) -> SlotState {
        *self.init.unit(self.slot).unwrap().state()
    }
}

#[test]
fn a_service_that_dies_starts_again_a_second_after_its_last_start() {
    let mut story = Story::longrun(Longrun::default(), true);
    assert_eq!(story.state().phase, Phase::Up);
    story.dies(100, Exit::Code(1));
    assert_eq!(story.state().phase, Phase::Waiting);
    assert_eq!(story.init.deadline(), Some(secs(101)));
    assert_eq!(story.waits(101).state().phase, Phase::Up);
    // One that had run for a while starts at once.
    story.dies(110, Exit::Signal(11));
    assert_eq!((story.state().phase, story.state().starts), (Phase::Up, 3));
    assert_eq!(story.world.announced, "sudDudDu");
}

#[test]
fn down_ends_it_and_kills_it_when_it_does_not_go() {
    let longrun = Longrun { timeout_kill: Duration::from_secs(3), ..Longrun::default() };
    let mut story = Story::longrun(longrun, true);
    story.letters(105, "d");
    assert_eq!(story.world.killed, [(1, 15, false), (1, 18, false)]);
    story.waits(108);
    assert_eq!(story.world.killed.last(), Some(&(1, 9, false)));
    story.dies(109, Exit::Signal(9));
    assert_eq!(story.state().phase, Phase::Down);
    assert_eq!(story.world.announced, "sudD");
    assert_eq!(story.init.deadline(), None, "an idle service wants no wake-up");
}

#[test]
fn up_while_it_still_ends_starts_it_again_once_it_has() {
    let mut story = Story::longrun(Longrun::default(), true);
    story.letters(105, "du");
    assert_eq!(story.state().phase, Phase::Stopping);
    story.dies(106, Exit::Signal(15));
    assert_eq!(story.state().phase, Phase::Up);
}

#[test]
fn finish_runs_after_every_death_and_125_gives_up() {
    let mut story = Story::longrun(Longrun { has_finish: true, ..Longrun::default() }, true);
    story.dies(105, Exit::Code(7));
    assert_eq!(story.state().phase, Phase::Finishing);
    let finish = Program::Finish { exit: Exit::Code(7), group: 1 };
    assert_eq!(story.world.spawned.last(), Some(&finish));
    story.dies(106, Exit::Code(125));
    assert_eq!(story.state().gave_up, Some(GaveUp::Permanent));
    assert_eq!((story.state().phase, story.state().wanted_up), (Phase::Down, false));
    assert_eq!(story.world.announced, "sudOD");
    // The one who repaired it can say so.
    story.letters(107, "u");
    assert_eq!((story.state().phase, story.state().gave_up), (Phase::Up, None));
}

#[test]
fn a_finish_that_takes_too_long_is_killed() {
    let mut story = Story::longrun(Longrun { has_finish: true, ..Longrun::default() }, true);
    story.dies(105, Exit::Code(0)).waits(110);
    assert_eq!(story.world.killed.last(), Some(&(2, 9, true)));
    assert_eq!(story.dies(110, Exit::Signal(9)).state().phase, Phase::Up);
}

#[test]
fn readiness_counts_once_and_only_while_it_is_up() {
    let mut story = Story::longrun(Longrun::default(), true);
    story.at(101, Event::Notified).at(101, Event::Notified);
    assert_eq!(story.world.announced, "suU");
    story.letters(102, "d").at(102, Event::Notified);
    assert_eq!(story.state().phase, Phase::Stopping);
}

#[test]
fn a_program_that_cannot_start_is_tried_again_later_and_later() {
    let mut story = Story::longrun(Longrun::default(), false);
    story.world.refuse = Some(2);
    story.letters(105, "u");
    assert_eq!(story.state().gave_up, Some(GaveUp::Spawn(2)));
    assert_eq!(story.init.deadline(), Some(secs(106)));
    story.waits(106).waits(108).waits(112);
    assert_eq!(story.init.deadline(), Some(secs(120)));
    story.world.refuse = None;
    assert_eq!(story.waits(120).state().phase, Phase::Up);
    assert_eq!(story.state().gave_up, None);
}

#[test]
fn a_shortage_is_no_reason_to_give_up() {
    let mut story = Story::longrun(Longrun::default(), false);
    story.world.refuse = Some(11);
    story.letters(105, "u");
    assert_eq!((story.state().gave_up, story.state().phase), (None, Phase::Waiting));
}

#[test]
fn once_runs_it_once() {
    let mut story = Story::longrun(Longrun::default(), false);
    story.letters(105, "o");
    assert_eq!(story.state().phase, Phase::Up);
    assert_eq!(story.dies(110, Exit::Code(0)).state().phase, Phase::Down);
    assert_eq!(story.letters(111, "O").state().phase, Phase::Down);
}

#[test]
fn leaving_waits_until_the_service_is_down() {
    let mut story = Story::longrun(Longrun::default(), true);
    story.letters(105, "x");
    assert!(!story.world.left);
    story.letters(106, "d").dies(107, Exit::Signal(15));
    assert!(story.world.left);
    assert_eq!(story.world.announced, "sudDx");
}

#[test]
fn late_news_of_a_dead_process_is_void() {
    let mut story = Story::longrun(Longrun::default(), true);
    story.dies(105, Exit::Code(0));
    assert_eq!(story.at(106, Event::Exited { pid: 1, exit: Exit::Code(0) }).state().pid, 2);
    let slot = story.slot;
    story.init.remove(slot);
    story.at(107, Event::Control(b'u'));
    assert!(story.init.unit(slot).is_none());
    let next = story.init.add(Unit::Oneshot(Runner::new(secs(107)))).unwrap();
    assert_ne!(next, slot, "a number is not given away twice");
}

#[test]
fn a_oneshot_runs_once_for_each_ticket() {
    let (mut init, mut world) = (Init::default(), Pretend::default());
    let slot = init.add(Unit::Oneshot(Runner::new(secs(1)))).unwrap();
    let run = |ticket| Event::Run { script: Script::Up, ticket };
    init.event(secs(1), slot, run(5), &mut world);
    init.event(secs(1), slot, run(6), &mut world); // one is running
    init.event(secs(2), slot, Event::Exited { pid: 1, exit: Exit::Code(3) }, &mut world);
    init.event(secs(2), slot, run(5), &mut world); // asked for again after a reconnect
    let state = init.unit(slot).unwrap().state();
    assert_eq!((state.ticket, state.exit), (5, Some(Exit::Code(3))));
    assert_eq!(world.spawned.len(), 1);
}

#[test]
fn what_was_saved_goes_on_where_it_was() {
    let mut story = Story::longrun(Longrun { has_finish: true, ..Longrun::default() }, true);
    story.dies(105, Exit::Code(7));
    let Unit::Longrun(before) = story.init.unit(story.slot).unwrap().clone() else { panic!() };
    let mut w = Writer::new();
    before.save(&mut w);
    let rules = Rules::from(&Longrun { has_finish: true, ..Longrun::default() });
    let after = Supervisor::load(rules, &mut Reader::new(w.as_bytes())).unwrap();
    assert_eq!(after, before);

    let mut init = Init::default();
    assert!(init.restore(story.slot, Unit::Longrun(after.clone())));
    assert!(!init.restore(story.slot, Unit::Longrun(after)));
    init.event(
        secs(106),
        story.slot,
        Event::Exited { pid: 2, exit: Exit::Code(0) },
        &mut story.world,
    );
    assert_eq!(init.unit(story.slot).unwrap().state().phase, Phase::Up);
}

#[test]
fn what_was_due_when_init_fell_is_done_after_it() {
    let longrun =
        Longrun { has_finish: true, timeout_kill: Duration::from_secs(3), ..Longrun::default() };
    // Taken in, and not begun.
    let mut story = Story::longrun(longrun.clone(), false);
    let unit = Unit::Longrun(Supervisor::new(Rules::from(&longrun), true, secs(100)));
    story.world.save(story.slot, &unit);
    story.falls(101, &longrun, 0);
    assert_eq!((story.state().phase, story.world.spawned.len()), (Phase::Up, 1));

    // Told to end; whether the signals were sent is not known.
    story.letters(105, "d").world.killed.clear();
    story.falls(106, &longrun, 0);
    assert_eq!(story.world.killed, [(1, 15, false), (1, 18, false)]);
    assert_eq!(story.init.deadline(), Some(secs(109)));

    // `run` has ended and `finish` was asked for: the number is that of `run`.
    story.dies(107, Exit::Code(0)).world.spawned.clear();
    let finishing = story.state();
    let mut w = Writer::new();
    SlotState { pid: 0, ..finishing }.write(&mut w);
    let rest = story.world.saved.split_off(w.len());
    story.world.saved = w.into_bytes();
    story.world.saved.extend(rest);
    story.falls(107, &longrun, 1);
    assert_eq!(story.world.spawned, [Program::Finish { exit: Exit::Code(0), group: 1 }]);

    // Told to go, and down.
    story.dies(108, Exit::Code(0)).letters(109, "x");
    assert!(core::mem::take(&mut story.world.left));
    assert!(story.falls(110, &longrun, 0).world.left);
}

#[test]
fn what_is_killed_at_the_end_has_no_finish_any_more() {
    let longrun =
        Longrun { has_finish: true, timeout_finish: Duration::ZERO, ..Longrun::default() };
    let mut story = Story::longrun(longrun, true);
    story.at(105, Event::Kill);
    assert_eq!(story.world.killed, [(1, 9, true)]);
    assert_eq!(story.dies(105, Exit::Signal(9)).state().phase, Phase::Down);

    // A `finish` that hangs is killed as well.
    let mut story = Story::longrun(Longrun { has_finish: true, ..Longrun::default() }, true);
    story.dies(105, Exit::Code(0)).at(105, Event::Kill);
    assert_eq!(story.world.killed, [(2, 9, true)]);
    assert_eq!(story.dies(105, Exit::Signal(9)).state().phase, Phase::Down);
}

#[test]
fn once_it_is_closed_nobody_starts_anything_and_what_is_kept_up_still_is() {
    let mut story = Story::longrun(Longrun::default(), true);
    let shot = story.init.add(Unit::Oneshot(Runner::new(secs(1)))).unwrap();
    story.init.close();
    let run = Event::Run { script: Script::Up, ticket: 5 };
    story.init.event(secs(101), shot, run, &mut story.world);
    assert_eq!(story.world.spawned, [Program::Run]);
    story.dies(105, Exit::Code(0));
    assert_eq!(story.world.spawned.len(), 2, "nobody told it to go yet");
    story.letters(106, "d").dies(106, Exit::Signal(15)).letters(110, "uUo");
    assert_eq!((story.state().phase, story.state().wanted_up), (Phase::Down, false));
}

#[test]
fn a_slot_that_is_to_stay_begins_anew_instead_of_going() {
    let mut story = Story::longrun(Longrun::default(), true);
    story.letters(105, "xd").dies(106, Exit::Signal(15));
    assert!(story.world.left);
    let slot = story.slot;
    story.init.stay(secs(106), slot, &mut story.world);
    assert_eq!(story.world.announced, "sudDxs");
    story.letters(110, "ud").dies(111, Exit::Signal(15));
    assert_eq!(story.world.announced, "sudDxsudD", "it goes only when it is told again");
}

#[test]
fn a_deadline_that_a_oneshot_cannot_have_wakes_nobody() {
    // So a table says that something has damaged.
    let state = SlotState { deadline: Some(secs(1)), ..SlotState::default() };
    let mut w = Writer::new();
    state.write(&mut w);
    let runner = Runner::load(&mut Reader::new(w.as_bytes())).unwrap();
    let (mut init, mut world) = (Init::default(), Pretend::default());
    assert!(init.restore(0, Unit::Oneshot(runner)));
    init.expire(secs(100), &mut world);
    assert_eq!(init.deadline(), None);
}
