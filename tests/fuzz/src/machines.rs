//! What machines make of whatever they are told: nothing hurts them, and they
//! come to rest.

use std::time::Duration;

use engine::machine::{Action, Event, World};
use engine::service::init::{Init, Unit};
use engine::service::manage::{Ask, Event as News, Graph, Manager, Verb};
use engine::service::oneshot::Runner;
use engine::service::supervise::{Rules, Supervisor};
use model::bytes::Reader;
use model::service::database::{Index, Longrun, Script};
use model::service::request::{Slot, SlotState};
use model::service::status::Exit;
use model::time::Moment;
use sim::dice::Dice;
use sim::services;

/// Deeds that one event may lead to.
const DEEDS_MAX: u32 = 64;

/// Processes that start, or not, as the bytes say.
struct Streets<'a> {
    rest: &'a [u8],
    pids: u32,
    deeds: u32,
}

impl World for Streets<'_> {
    fn act(&mut self, _slot: Slot, _unit: &Unit, action: Action) -> Option<Event> {
        self.deeds += 1;
        assert!(self.deeds < DEEDS_MAX, "it spins");
        match action {
            Action::Spawn(_) => {
                self.pids += 1;
                let (first, rest) = self.rest.split_first().unwrap_or((&0, &[]));
                self.rest = rest;
                Some(match *first {
                    errno @ 200.. => Event::SpawnFailed { errno: u16::from(errno) - 199 },
                    _ => Event::Started { pid: self.pids },
                })
            }
            Action::Kill { pid, .. } => {
                assert_ne!(pid, 0, "a signal to the whole group of init");
                None
            }
            _ => None,
        }
    }

    fn save(&mut self, _slot: Slot, _unit: &Unit) {}
}

// Init reads the state of every slot from the table that the program before it
// left, then letters from control fifos, and news of processes.
pub fn slot(bytes: &[u8]) {
    const STATE_BYTES: usize = 52;
    let Some((state, rest)) = bytes.split_at_checked(STATE_BYTES) else { return };
    let [flags, rest @ ..] = rest else { return };
    let longrun = Longrun {
        has_finish: flags & 1 != 0,
        kill_group: flags & 2 != 0,
        restart_wait: Duration::from_secs(u64::from(flags >> 6)),
        ..Longrun::default()
    };
    let mut reader = Reader::new(state);
    let unit = match flags & 4 {
        0 => Supervisor::load(Rules::from(&longrun), &mut reader).map(Unit::Longrun),
        _ => Runner::load(&mut reader).map(Unit::Oneshot),
    };
    let Ok(unit) = unit else { return };
    let (mut init, mut now) = (Init::default(), Moment::from_nanos(1 << 40));
    let mut streets = Streets { rest, pids: 1_000, deeds: 0 };
    let slot = u32::from(flags >> 3) & 7;
    assert!(init.restore(slot, unit));
    init.resume(now, slot, u32::from(flags >> 5), &mut streets);
    for &byte in rest {
        streets.deeds = 0;
        let pid = init.unit(slot).map_or(0, |unit| unit.state().pid);
        let event = match byte {
            0..=9 => Event::Exited { pid, exit: Exit::Code(if byte == 9 { 125 } else { byte }) },
            10..=19 => Event::Exited { pid: pid.wrapping_add(1), exit: Exit::Signal(byte) },
            20..=29 => Event::Notified,
            30..=34 => Event::Signal(byte - 25),
            35 => Event::Kill,
            128..=159 => Event::Run { script: Script::Up, ticket: u32::from(byte) },
            160.. => {
                now = now + Duration::from_millis(u64::from(byte - 160) * 100);
                init.expire(now, &mut streets);
                Event::Tick
            }
            letter => Event::Control(letter),
        };
        init.event(now, slot, event, &mut streets);
        assert!(init.deadline().is_none_or(|at| at >= Moment::from_nanos(0)));
    }
}

// The manager finds these bytes in `LIVE/state`, and hears of init and of its
// clients whatever they say.
pub fn manager(bytes: &[u8]) {
    let [seed, count, rest @ ..] = bytes else { return };
    let count = 1 + usize::from(*count % 8);
    let Some((state, rest)) = rest.split_at_checked(count) else { return };
    let contents = services::database(&mut Dice::new(u64::from(*seed)), count);
    let mut manager = services::open(&contents, |db| Manager::new(Graph::from(db), state));
    let (mut r, mut actions) = (Reader::new(rest), Vec::new());
    let mut now = Moment::from_nanos(1 << 40);
    // Each service is told a few things, each request a few of each service.
    let (each, mut most) = (6 * count, 64 * count);
    while let Ok(byte) = r.u8() {
        let service = Index::from(byte >> 4) % count as Index;
        let event = match byte & 15 {
            0 => News::Lost,
            1 => News::Welcome,
            2 => News::Slot { service },
            3..=5 => match SlotState::read(&mut r) {
                Ok(state) => News::State { service, state },
                Err(_) => break,
            },
            6 => News::StopAll,
            7 => News::Gone { client: u32::from(byte >> 6) },
            8..=10 => {
                now = now + Duration::from_millis(u64::from(byte) * 10);
                News::Tick
            }
            kind => News::Ask(Ask {
                client: u32::from(byte >> 6),
                id: 1,
                pid: 1,
                verb: [
                    Verb::Up,
                    Verb::Up,
                    Verb::Down { essential: false },
                    Verb::Down { essential: true },
                    Verb::Restart,
                    Verb::Reload,
                ][usize::from(kind) + usize::from(byte >> 7) - 11],
                prune: byte & 64 != 0,
                all: byte & 32 != 0,
                detail: true,
                services: vec![service],
                bundled: vec![(service + 1) % count as Index],
                controller: (byte & 8 != 0).then_some(0),
                users: byte & 4 != 0,
                limit: (byte & 16 != 0).then(|| Duration::from_millis(100)),
                since: now,
            }),
        };
        actions.clear();
        most += if matches!(event, News::Ask(_)) { each } else { 0 };
        manager.step(now, event, &mut actions);
        assert!(actions.len() <= most, "one event leads to {}", actions.len());
        let _ = manager.deadline();
        for service in 0..count as Index {
            let _ = (manager.actual(service), manager.trouble(service), manager.byte(service));
        }
    }
}
