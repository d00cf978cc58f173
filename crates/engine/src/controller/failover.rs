//! Services in turn: one is up, and when it ends the next one is tried.
//!
//! What is better than the one that serves is tried again after a while, beside it where both may
//! run, so that nothing ends before the better one has shown that it lasts. A member that keeps
//! failing is left alone for longer each time, unless nothing else is there.
//!
//! Members are known by their place in the order of preference.

use alloc::vec::Vec;

use model::controller::uplink::Pace;
use model::time::Moment;

use super::{Asked, Wish, doubled};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Ask {
        id: u32,
        wish: Wish,
        member: usize,
    },
    /// This one serves now, or none.
    Active {
        member: Option<usize>,
    },
    /// [`Failover::role`] of this one is another.
    Say {
        member: usize,
    },
}

/// What a member is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It serves.
    Active,
    /// It comes up, as nothing else serves.
    Starting,
    /// It is better than the one that serves, and has to show that it lasts.
    OnTrial,
    /// It is down until it is its turn.
    Reserve,
    /// It failed so many times, and is left alone for a while.
    Failed(u32),
}

/// All members of one controller.
#[derive(Debug)]
pub struct Failover {
    pace: Pace,
    members: Vec<Member>,
    /// The one that serves, or comes up to serve.
    current: Option<Chosen>,
    /// A better one beside it.
    trial: Option<Chosen>,
    /// With whom the search for the next begins.
    turn: usize,
    /// Whom the controller before this one had.
    adopted: Option<usize>,
    said_active: Option<Option<usize>>,
    next_id: u32,
}

#[derive(Debug)]
struct Member {
    told: Option<Told>,
    asked: Option<Asked>,
    /// It came up then; whether it still is, is told.
    up_since: Option<Moment>,
    failures: u32,
    failed_at: Moment,
    /// An order to go down is not repeated before.
    down_at: Moment,
    said: Option<Role>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    up: bool,
    goal: bool,
    /// Since when it is up, or not.
    since: Moment,
}

/// A member that shall be up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chosen {
    member: usize,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It is asked for once nothing else runs, where only one may, or at this time.
    Waiting {
        until: Moment,
    },
    /// It has to be up by then.
    Starting {
        until: Moment,
    },
    Up,
}

impl Failover {
    pub fn new(now: Moment, pace: Pace, members: usize) -> Self {
        let member = |_| Member {
            told: None,
            asked: None,
            up_since: None,
            failures: 0,
            failed_at: now,
            down_at: now,
            said: None,
        };
        Self {
            pace,
            members: (0..members).map(member).collect(),
            current: None,
            trial: None,
            turn: 0,
            adopted: None,
            said_active: None,
            next_id: 1,
        }
    }

    /// This one served before the controller was started anew.
    pub fn adopt(&mut self, member: usize) {
        self.adopted = Some(member);
    }

    /// The manager says how a member is, since when, and whether it shall be up.
    pub fn told(&mut self, since: Moment, member: usize, up: bool, goal: bool) {
        let member = &mut self.members[member];
        let same = member.told.filter(|told| told.up == up);
        let since = same.map_or(since, |told| told.since);
        member.told = Some(Told { up, goal, since });
        member.asked = member.asked.filter(|asked| !asked.is_over(up));
        if up {
            member.up_since.get_or_insert(since);
        }
    }

    /// Whose request this is, unless another took its place.
    pub fn asked_by(&self, id: u32) -> Option<usize> {
        let asked = |member: &Member| id != 0 && member.asked.is_some_and(|asked| asked.id == id);
        self.members.iter().position(asked)
    }

    /// A request has ended.
    pub fn ended(&mut self, now: Moment, id: u32, ok: bool) {
        // An older one was overtaken by what was asked since.
        let Some(at) = self.asked_by(id) else { return };
        let Some(asked) = self.members[at].asked.take() else { return };
        let member = &mut self.members[at];
        match ok {
            true => member.asked = asked.granted(now, member.told.is_some_and(|told| told.up)),
            false if asked.wants_up() => self.failed(now, at),
            false => member.down_at = now + self.pace.back_off,
        }
    }

    /// The manager is another one: what was asked is forgotten, and it will say how things are.
    pub fn again(&mut self) {
        for member in &mut self.members {
            (member.asked, member.told) = (None, None);
        }
    }

    /// The member that serves.
    pub fn active(&self) -> Option<usize> {
        self.current.filter(|chosen| chosen.phase == Phase::Up).map(|chosen| chosen.member)
    }

    pub fn role(&self, now: Moment, member: usize) -> Role {
        let is = |chosen: Option<Chosen>| chosen.filter(|chosen| chosen.member == member);
        if let Some(chosen) = is(self.current) {
            if chosen.phase == Phase::Up { Role::Active } else { Role::Starting }
        } else if is(self.trial).is_some() {
            Role::OnTrial
        } else if now < self.free_at(member) {
            Role::Failed(self.members[member].failures)
        } else {
            Role::Reserve
        }
    }

    /// The members that are, or come, up: those that end with a controller that is taken down.
    pub fn running(&self) -> impl Iterator<Item = usize> {
        let members = self.members.iter().enumerate();
        members.filter(|(_, member)| member.runs()).map(|(at, _)| at)
    }

    /// What is to be done now.
    pub fn decide(&mut self, now: Moment, orders: &mut Vec<Order>) {
        // What is up is left alone until all is known.
        if self.members.iter().any(|member| member.told.is_none()) {
            return;
        }
        for member in &mut self.members {
            member.asked = member.asked.filter(|asked| now < asked.until);
        }
        self.judge(now);
        self.choose(now);
        self.ask(now, orders);
        if self.said_active != Some(self.active()) {
            self.said_active = Some(self.active());
            orders.push(Order::Active { member: self.active() });
        }
        for at in 0..self.members.len() {
            let role = self.role(now, at);
            if self.members[at].said.replace(role) != Some(role) {
                orders.push(Order::Say { member: at });
            }
        }
    }

    /// When there is something to be done that no news tells.
    pub fn deadline(&self) -> Option<Moment> {
        if self.members.iter().any(|member| member.told.is_none()) {
            return None;
        }
        let all = || 0..self.members.len();
        let answers = self.members.iter().filter_map(|member| Some(member.asked?.until));
        let down = all().filter(|at| !self.is_chosen(*at) && self.members[*at].must_go());
        let down = down.map(|at| self.members[at].down_at);
        let chosen = [self.current, self.trial].into_iter().flatten();
        let starts = chosen.filter_map(|chosen| match chosen.phase {
            Phase::Waiting { until } | Phase::Starting { until } => Some(until),
            Phase::Up => None,
        });
        let next = match (self.current, self.trial) {
            (None, _) => all().map(|at| self.tried_at(at)).min(),
            (Some(_), Some(trial)) => self.proven_at(trial),
            (Some(current), None) if current.phase == Phase::Up => {
                self.better(current).map(|(when, _)| when).min()
            }
            (Some(_), None) => None,
        };
        // What the end of a failure changes is what is said of it.
        let said = all().filter(|at| matches!(self.members[*at].said, Some(Role::Failed(_))));
        let said = said.map(|at| self.free_at(at));
        answers.chain(down).chain(starts).chain(next).chain(said).min()
    }

    /// What has become of those that shall be up.
    fn judge(&mut self, now: Moment) {
        for chosen in [self.current, self.trial].into_iter().flatten() {
            let up = self.members[chosen.member].is_up();
            match chosen.phase {
                Phase::Up if !up => self.failed(now, chosen.member),
                Phase::Starting { until } if !up && now >= until => self.failed(now, chosen.member),
                _ if up => self.set_phase(chosen.member, Phase::Up),
                _ => {}
            }
        }
        if let Some(trial) = self.trial
            && self.proven_at(trial).is_some_and(|when| now >= when)
        {
            (self.current, self.trial) = (Some(trial), None);
        }
    }

    /// Who shall be up.
    fn choose(&mut self, now: Moment) {
        let up = |at: usize| Chosen { member: at, phase: Phase::Up };
        let running = || (0..self.members.len()).filter(|at| self.members[*at].is_up());
        if self.current.is_none() {
            let adopted = self.adopted.take().filter(|at| self.members[*at].is_up());
            self.current = self.trial.take().or(adopted.or_else(|| running().next()).map(up));
        }
        let Some(current) = self.current else {
            let count = self.members.len();
            let mut turn = (0..count).map(|step| (self.turn + step) % count);
            let next = turn.find(|at| now >= self.tried_at(*at));
            self.current = next.map(|at| self.begin(now, at));
            return;
        };
        if self.trial.is_some() || !self.pace.fail_back || current.phase != Phase::Up {
            return;
        }
        let due = self.better(current).find(|(when, _)| now >= *when);
        if self.pace.overlap
            && let Some(better) = running().next().filter(|at| *at < current.member)
        {
            // Somebody else's doing, or that of the controller before this one.
            self.trial = Some(up(better));
        } else if let Some((_, better)) = due {
            let better = self.begin(now, better);
            if self.pace.overlap {
                self.trial = Some(better);
            } else {
                // Where it fails, the one that serves now goes on.
                (self.current, self.turn) = (Some(better), current.member);
            }
        }
    }

    fn begin(&self, now: Moment, member: usize) -> Chosen {
        Chosen { member, phase: Phase::Waiting { until: now + self.pace.start_limit } }
    }

    /// When a member may be tried where nothing serves: soon, whatever it did before.
    fn tried_at(&self, at: usize) -> Moment {
        let Member { failures, failed_at, .. } = self.members[at];
        failed_at + doubled(self.pace.back_off, failures.min(1), self.pace.back_off_max)
    }

    /// When it may be tried although another serves.
    fn free_at(&self, at: usize) -> Moment {
        let Member { failures, failed_at, .. } = self.members[at];
        failed_at + doubled(self.pace.back_off, failures, self.pace.back_off_max)
    }

    /// Better ones than the one that serves, and when they are tried.
    fn better(&self, current: Chosen) -> impl Iterator<Item = (Moment, usize)> {
        let serving = self.members[current.member].told.filter(|told| told.up);
        let none = !self.pace.fail_back || serving.is_none();
        let since = serving.map_or(Moment::ZERO, |told| told.since);
        let better = 0..if none { 0 } else { current.member };
        better.map(move |at| {
            let Member { failures, failed_at, .. } = self.members[at];
            let from = if failures > 0 { failed_at.max(since) } else { since };
            ((from + self.pace.fail_back_after).max(self.free_at(at)), at)
        })
    }

    /// When one on trial takes over, if it goes on like that.
    fn proven_at(&self, trial: Chosen) -> Option<Moment> {
        let told = self.members[trial.member].told.filter(|told| told.up)?;
        (trial.phase == Phase::Up).then(|| told.since + self.pace.dwell)
    }

    fn failed(&mut self, now: Moment, at: usize) {
        let member = &mut self.members[at];
        // It is not up any more, so that its last time ends here.
        let was_up = member.up_since.take().map(|since| now.since(since));
        let healthy = was_up.is_some_and(|time| time >= self.pace.healthy);
        let proven = was_up.is_some_and(|time| time >= self.pace.dwell);
        member.failures = if healthy { 1 } else { member.failures.saturating_add(1) };
        (member.failed_at, member.down_at) = (now, now);
        let is = |chosen: Option<Chosen>| chosen.is_some_and(|chosen| chosen.member == at);
        if is(self.trial) {
            self.trial = None;
        }
        if is(self.current) {
            self.current = None;
            if self.turn <= at || proven {
                self.turn = (at + 1) % self.members.len();
            }
        }
    }

    fn is_chosen(&self, at: usize) -> bool {
        [self.current, self.trial].into_iter().flatten().any(|chosen| chosen.member == at)
    }

    fn set_phase(&mut self, member: usize, phase: Phase) {
        for chosen in [&mut self.current, &mut self.trial].into_iter().flatten() {
            if chosen.member == member {
                chosen.phase = phase;
            }
        }
    }

    /// Has the manager do what was decided.
    fn ask(&mut self, now: Moment, orders: &mut Vec<Order>) {
        for at in 0..self.members.len() {
            let member = &self.members[at];
            if !self.is_chosen(at) && member.must_go() && now >= member.down_at {
                self.order(now, at, Wish::Down, orders);
            }
        }
        for chosen in [self.current, self.trial].into_iter().flatten() {
            let at = chosen.member;
            let others = || self.members.iter().enumerate().filter(|(other, _)| *other != at);
            let free = self.pace.overlap || !others().any(|(_, other)| other.runs());
            match chosen.phase {
                Phase::Waiting { until } if free || now >= until => {
                    let until = now + self.pace.start_limit;
                    self.set_phase(at, Phase::Starting { until });
                }
                Phase::Starting { .. } if self.members[at].asked.is_none() => {}
                _ => continue,
            }
            self.order(now, at, Wish::Up, orders);
        }
    }

    fn order(&mut self, now: Moment, member: usize, wish: Wish, orders: &mut Vec<Order>) {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1).max(1);
        let asked = &mut self.members[member];
        if !asked.told.is_some_and(|told| told.up) {
            asked.up_since = None;
        }
        asked.asked = Some(Asked::new(now, id, wish));
        orders.push(Order::Ask { id, wish, member });
    }
}

impl Member {
    /// It is up and stays so, as far as is known.
    fn is_up(&self) -> bool {
        let goes = self.asked.is_some_and(|asked| !asked.wants_up());
        self.told.is_some_and(|told| told.up) && !goes
    }

    fn runs(&self) -> bool {
        self.told.is_some_and(|told| told.up || told.goal) || self.asked.is_some()
    }

    /// Whether it is to be asked down where it is not wanted.
    fn must_go(&self) -> bool {
        match self.asked {
            Some(asked) => asked.wants_up(),
            None => self.told.is_some_and(|told| told.up || told.goal),
        }
    }
}

#[cfg(test)]
mod tests;
