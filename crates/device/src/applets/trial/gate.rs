//! Whether a generation works: what was up before is up, and stays so for a while.

use std::path::Path;
use std::time::Duration;

use model::controller::check::HEALTHY;
use model::service::database::Entry;
use model::service::live_state::is_up;
use model::service::manager_request::{FromManager, ServiceStatus};
use model::service::request::{GaveUp, Phase};
use model::time::Moment;
use os::deploy::phases;
use os::service::manager_client::{Asking, Heard, Wish};

use super::switch::LIVE;
use crate::applets::peers::s6_rc::list::{open, read_database};

/// What is well has to stay so for this long.
const SETTLED: Duration = Duration::from_millis(1500);

/// A service that has ended and begun again so often does not work.
const RESTARTS_MAX: u32 = 3;

/// How long the manager may take to tell.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// How it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Healthy,
    NotYet(String),
    Sick(String),
}

/// How one service is.
#[derive(Clone, Debug)]
pub struct Seen {
    pub up: bool,
    /// What is the matter with it, if something is.
    lack: Option<String>,
    gave_up: bool,
    starts: u32,
    /// It shall be up.
    goal: bool,
    is_controlled: bool,
}

impl Seen {
    /// A controller says that a condition of it does not hold: it may run, and is not well.
    pub fn sicken(&mut self, controller: &str, label: &str, value: &str) {
        self.up = false;
        self.lack.get_or_insert_with(|| format!("{controller} says: {label} {value}"));
    }
}

pub struct Gate {
    /// Services that were up before, and those that nothing goes on without.
    must: Vec<String>,
    /// Starts of each when it was first looked at.
    first: Vec<Option<u32>>,
    /// Since when all is well, and how often each had been started by then.
    well: Option<(Moment, Vec<u32>)>,
    booted: bool,
}

impl Gate {
    pub fn new(were_up: Vec<String>) -> Self {
        let mut must = were_up;
        must.extend(essentials());
        must.sort_unstable();
        must.dedup();
        Self { booted: false, ..Self::returned(must) }
    }

    /// For the way back: the services themselves, and no others.
    pub fn returned(were_up: Vec<String>) -> Self {
        Self { first: vec![None; were_up.len()], must: were_up, well: None, booted: true }
    }

    /// Looks at all of it once.
    pub fn look(&mut self, now: Moment) -> Verdict {
        if !self.booted {
            // Before the first bundle has come up, or could not, nothing is said against anybody.
            self.booted =
                phases::noted().map_or(true, |noted| model::deploy::phases::is_over(&noted));
            if !self.booted {
                return Verdict::NotYet("services are being started".into());
            }
        }
        match services() {
            Ok(seen) => self.judge(now, &seen),
            Err(why) => {
                self.well = None;
                Verdict::NotYet(why)
            }
        }
    }

    fn judge(&mut self, now: Moment, seen: &[(String, Seen)]) -> Verdict {
        let mut lack = None;
        let mut starts = Vec::new();
        for (name, first) in self.must.iter().zip(&mut self.first) {
            // What the new generation does not have need not work in it.
            let Some(found) = find(seen, name) else { continue };
            let first = *first.get_or_insert(found.starts);
            starts.push(found.starts);
            if found.gave_up {
                let why = found.lack.as_deref().unwrap_or("it is given up");
                return Verdict::Sick(format!("{name}: {why}"));
            }
            if found.starts.wrapping_sub(first) >= RESTARTS_MAX {
                let why = found.lack.as_deref().unwrap_or("it runs by now");
                return Verdict::Sick(format!("{name} ends again and again: {why}"));
            }
            // Its controller has stopped it: a device is gone, or another uplink has its turn.
            let is_spared = found.is_controlled && !found.goal;
            if !found.up && !is_spared && lack.is_none() {
                let why = found.lack.as_deref().unwrap_or("it is down");
                lack = Some(format!("{name}: {why}"));
            }
        }
        if let Some(lack) = lack {
            self.well = None;
            return Verdict::NotYet(lack);
        }
        match &self.well {
            Some((since, before)) if *before == starts => match now.since(*since) >= SETTLED {
                true => Verdict::Healthy,
                false => Verdict::NotYet("it has to go on for a while".into()),
            },
            _ => {
                self.well = Some((now, starts));
                Verdict::NotYet("it has to go on for a while".into())
            }
        }
    }

    /// Whether all of them are up again.
    pub fn is_back(&mut self) -> Result<(), String> {
        let seen = services()?;
        for name in &self.must {
            if let Some(found) = find(&seen, name).filter(|found| !found.up) {
                let why = found.lack.as_deref().unwrap_or("it is down");
                return Err(format!("{name}: {why}"));
            }
        }
        Ok(())
    }
}

/// Services that nothing goes on without, among those that are to be up.
fn essentials() -> Vec<String> {
    let Ok(file) = read_database(Path::new(LIVE)) else { return Vec::new() };
    let Ok(database) = open(&file) else { return Vec::new() };
    let Some(Entry::Bundle(bundle)) = database.find("default") else { return Vec::new() };
    let members = database.bundle(bundle).contents();
    let members = members.map(|index| database.service(index)).filter(|it| it.essential());
    members.map(|service| service.name().to_owned()).collect()
}

/// How one of them is.
fn find<'a>(seen: &'a [(String, Seen)], name: &str) -> Option<&'a Seen> {
    seen.iter().find(|(known, _)| known == name).map(|(_, seen)| seen)
}

/// How all services are, with their names.
pub fn services() -> Result<Vec<(String, Seen)>, String> {
    let asking = Asking {
        live: Path::new(LIVE),
        names: &[],
        wish: Wish::Status,
        limit: Some(ANSWER_MAX),
        followed: &[],
        ticks: false,
        patient: false,
    };
    let mut all = Vec::new();
    let asked = asking.ask(&mut |heard| {
        match heard {
            Heard::Manager(FromManager::Service(status)) => {
                all.push((status.name.to_owned(), seen(&status)));
            }
            // It is about the service that was told last.
            Heard::Manager(FromManager::Condition { controller, condition }) => {
                let Some((_, seen)) = all.last_mut() else { return };
                seen.is_controlled = true;
                if condition.label == HEALTHY && !condition.holds {
                    seen.sicken(controller, condition.label, condition.value);
                }
            }
            _ => {}
        }
    });
    asked.map_err(|error| error.to_string())?;
    Ok(all)
}

fn seen(status: &ServiceStatus<'_>) -> Seen {
    let state = status.state.unwrap_or_default();
    let waits = state.phase == Phase::Waiting && status.state.is_some();
    let gave_up = state.gave_up.is_some();
    let lack = match (&status.trouble, state.gave_up, state.exit) {
        (Some(trouble), ..) => Some(trouble.to_string()),
        (None, Some(GaveUp::Spawn(errno)), _) => {
            let error = std::io::Error::from_raw_os_error(errno.into());
            Some(format!("its program cannot be started: {error}"))
        }
        (None, Some(GaveUp::Permanent), _) => Some("it ended for good".to_owned()),
        (None, None, Some(exit)) if waits => Some(format!("it {exit}")),
        _ => None,
    };
    let up = is_up(status.byte) && !waits && !gave_up;
    let (goal, starts) = (status.goal, state.starts);
    Seen { up, lack, gave_up, starts, goal, is_controlled: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(1) + Duration::from_millis(millis)
    }

    fn seen(up: bool, starts: u32) -> Seen {
        Seen { up, lack: None, gave_up: false, starts, goal: true, is_controlled: false }
    }

    fn gate(must: &[&str]) -> Gate {
        Gate::returned(must.iter().map(|name| (*name).to_owned()).collect())
    }

    fn world(services: &[(&str, Seen)]) -> Vec<(String, Seen)> {
        services.iter().map(|(name, seen)| ((*name).to_owned(), seen.clone())).collect()
    }

    #[test]
    fn what_is_up_has_to_stay_so_before_it_counts() {
        let mut gate = gate(&["sshd", "gone"]);
        let up = world(&[("new", seen(false, 0)), ("sshd", seen(true, 1))]);
        assert!(matches!(gate.judge(at(0), &up), Verdict::NotYet(_)));
        assert!(matches!(gate.judge(at(1400), &up), Verdict::NotYet(_)));
        assert_eq!(gate.judge(at(1500), &up), Verdict::Healthy);
    }

    #[test]
    fn who_ends_and_begins_again_is_not_well() {
        let mut gate = gate(&["sshd"]);
        for round in 0..3 {
            let up = world(&[("sshd", seen(true, 1 + round))]);
            // It is up whenever somebody looks, and never for long.
            assert!(matches!(gate.judge(at(u64::from(round) * 4000), &up), Verdict::NotYet(_)));
        }
        let up = world(&[("sshd", seen(true, 4))]);
        let verdict = gate.judge(at(12_000), &up);
        assert_eq!(verdict, Verdict::Sick("sshd ends again and again: it runs by now".into()));
    }

    #[test]
    fn what_a_controller_finds_sick_does_not_work_although_it_runs() {
        let mut gate = gate(&["wan"]);
        let mut wan = seen(true, 1);
        wan.sicken("watch", "ping", "no answer");
        let verdict = gate.judge(at(0), &world(&[("wan", wan)]));
        assert_eq!(verdict, Verdict::NotYet("wan: watch says: ping no answer".into()));
        let up = world(&[("wan", seen(true, 1))]);
        assert!(matches!(gate.judge(at(1), &up), Verdict::NotYet(_)));
        assert_eq!(gate.judge(at(1501), &up), Verdict::Healthy);
    }

    #[test]
    fn what_its_controller_has_stopped_is_not_waited_for() {
        let mut gate = gate(&["wan"]);
        let stopped = Seen { goal: false, is_controlled: true, ..seen(false, 1) };
        let now = world(&[("wan", stopped.clone())]);
        assert!(matches!(gate.judge(at(0), &now), Verdict::NotYet(_)));
        assert_eq!(gate.judge(at(1500), &now), Verdict::Healthy);
        let by_nobody = world(&[("wan", Seen { is_controlled: false, ..stopped })]);
        assert_eq!(gate.judge(at(1600), &by_nobody), Verdict::NotYet("wan: it is down".into()));
    }

    #[test]
    fn what_is_given_up_is_sick_and_what_is_down_is_waited_for() {
        let mut gate = gate(&["dns", "sshd"]);
        let down = world(&[("dns", seen(true, 1)), ("sshd", seen(false, 0))]);
        assert_eq!(gate.judge(at(0), &down), Verdict::NotYet("sshd: it is down".into()));
        let broken = Seen { gave_up: true, lack: Some("no such file".into()), ..seen(false, 1) };
        let given_up = world(&[("dns", seen(true, 1)), ("sshd", broken)]);
        assert_eq!(gate.judge(at(1), &given_up), Verdict::Sick("sshd: no such file".into()));
    }
}
