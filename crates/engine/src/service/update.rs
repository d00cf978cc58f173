//! From one database to the next: what must stop, what goes over as it is,
//! and what starts again.
//!
//! A service that is up goes over untouched where its definition is the same
//! (by digest) and all it needs goes over untouched too. Source of the other
//! rules: s6-rc `s6-rc-update.html`.

use alloc::vec;
use alloc::vec::Vec;

use model::service::database::{Database, Entry, Index};
use model::service::live_state::{AGAIN, AWAITED, RUN_SHIFT, STARTING, STOPPING, UP, WANTED};

/// An instruction about one service of the old database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversion {
    pub old: Index,
    /// What it is in the new database, where its name says something else.
    pub new: Option<Entry>,
    /// Restart it in any case.
    pub restart: bool,
}

/// How the update is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Stop essential services like any other.
    pub essential: bool,
    /// The same services in another format: nothing is restarted because its
    /// digest differs.
    pub as_is: bool,
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Services of the old database that must be down first, closed under
    /// what needs them as far as that is up.
    pub stop: Vec<Index>,
    /// Some of these are not down yet; others may be, and only wait to start again.
    pub busy: bool,
    /// Old and new number of those that keep their place in init.
    pub moved: Vec<(Index, Index)>,
    /// Services of the new database that are to be up again.
    pub start: Vec<Index>,
    /// The new state bytes, once all of `stop` is down.
    pub bytes: Vec<u8>,
}

/// An essential service would have to stop, and there is none that could take
/// its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EssentialLost(pub Index);

/// It is up, or on its way.
pub fn is_active(byte: u8) -> bool {
    byte & (UP | STARTING | AGAIN) != 0
}

/// Decides what becomes of every service. `bytes` are the state bytes of `old`.
pub fn plan(
    old: &Database<'_>,
    new: &Database<'_>,
    bytes: &[u8],
    conversions: &[Conversion],
    manner: Manner,
) -> Result<Plan, EssentialLost> {
    let mut comparison = Comparison::new(old, new, bytes, conversions, manner);
    let nobody = vec![false; old.len()];
    let mut kept = comparison.kept(&nobody);
    if !manner.essential {
        let stops = |index: &Index| {
            let at = *index as usize;
            comparison.active[at] && !kept[at] && old.service(*index).essential()
        };
        let essential: Vec<Index> = (0..old.len() as Index).filter(stops).collect();
        if !essential.is_empty() {
            let forced = comparison.forced(essential)?;
            kept = comparison.kept(&forced);
        }
    }
    Ok(comparison.plan(&kept))
}

struct Comparison<'a, 'd> {
    old: &'a Database<'d>,
    new: &'a Database<'d>,
    bytes: &'a [u8],
    manner: Manner,
    active: Vec<bool>,
    restart: Vec<bool>,
    /// What each old service is in the new database.
    target: Vec<Option<Entry>>,
    /// The same, where it can keep its place: one service for one of its kind.
    place: Vec<Option<Index>>,
    /// The old service of a new one that can keep its place.
    origin: Vec<Option<Index>>,
}

impl<'a, 'd> Comparison<'a, 'd> {
    fn new(
        old: &'a Database<'d>,
        new: &'a Database<'d>,
        bytes: &'a [u8],
        conversions: &[Conversion],
        manner: Manner,
    ) -> Self {
        let byte = |index: usize| bytes.get(index).copied().unwrap_or(0);
        let mut this = Self {
            old,
            new,
            bytes,
            manner,
            active: (0..old.len()).map(|index| is_active(byte(index))).collect(),
            restart: vec![false; old.len()],
            target: old.services().map(|service| new.find(service.name())).collect(),
            place: vec![None; old.len()],
            origin: vec![None; new.len()],
        };
        for conversion in conversions {
            let at = conversion.old as usize;
            this.restart[at] = conversion.restart;
            if conversion.new.is_some() {
                this.target[at] = conversion.new;
            }
        }
        // Those that an instruction names come first where two want one place.
        let named = conversions.iter().filter(|c| c.new.is_some()).map(|c| c.old);
        for index in named.chain(0..old.len() as Index) {
            if let Some(Entry::Service(target)) = this.target[index as usize]
                && this.place[index as usize].is_none()
                && this.origin[target as usize].is_none()
                && old.service(index).is_longrun() == new.service(target).is_longrun()
            {
                this.place[index as usize] = Some(target);
                this.origin[target as usize] = Some(index);
            }
        }
        this
    }

    /// Which active services go over as they are. Those in `forced` do in any case.
    fn kept(&self, forced: &[bool]) -> Vec<bool> {
        let mut kept: Vec<bool> = (0..self.old.len())
            .map(|at| {
                let same = |target: Index| {
                    self.manner.as_is
                        || self.new.service(target).digest()
                            == self.old.service(at as Index).digest()
                };
                let good = self.place[at].is_some_and(same) && !self.restart[at];
                self.active[at] && (good || forced[at])
            })
            .collect();
        // What is not kept, or was not there before, takes along what needs it.
        let mut lost: Vec<Index> = Vec::new();
        for index in 0..self.old.len() as Index {
            let at = index as usize;
            if kept[at] && !forced[at] && !self.needs_are_kept(at, &kept) {
                kept[at] = false;
            }
            if self.active[at] && !kept[at] {
                lost.push(index);
            }
        }
        while let Some(index) = lost.pop() {
            let before = self.old.service(index).needed_by();
            let after = self.place[index as usize]
                .map(|target| self.new.service(target).needed_by())
                .into_iter()
                .flatten()
                .filter_map(|user| self.origin[user as usize]);
            for user in before.chain(after) {
                let at = user as usize;
                if kept[at] && !forced[at] {
                    kept[at] = false;
                    lost.push(user);
                }
            }
        }
        kept
    }

    fn needs_are_kept(&self, at: usize, kept: &[bool]) -> bool {
        let Some(target) = self.place[at] else { return false };
        self.new
            .service(target)
            .needs()
            .all(|need| self.origin[need as usize].is_some_and(|origin| kept[origin as usize]))
    }

    /// Essential services stay, with all that they need.
    fn forced(&self, essential: Vec<Index>) -> Result<Vec<bool>, EssentialLost> {
        let mut forced = vec![false; self.old.len()];
        for first in essential {
            let mut found = vec![first];
            while let Some(index) = found.pop() {
                let at = index as usize;
                if self.active[at] && self.place[at].is_none() {
                    return Err(EssentialLost(first));
                }
                if self.active[at] && !core::mem::replace(&mut forced[at], true) {
                    found.extend(self.old.service(index).needs());
                }
            }
        }
        Ok(forced)
    }

    fn plan(&mut self, kept: &[bool]) -> Plan {
        let mut plan = Plan { bytes: vec![0; self.new.len()], ..Plan::default() };
        for (at, &kept) in kept.iter().enumerate() {
            let byte = self.bytes.get(at).copied().unwrap_or(0);
            if self.active[at] && !kept {
                plan.stop.push(at as Index);
                plan.busy |= byte & (UP | STARTING | STOPPING) != 0;
                let wanted = byte & (WANTED | AWAITED);
                let mut again = |target: Index| {
                    plan.start.push(target);
                    plan.bytes[target as usize] |= AGAIN | wanted;
                };
                match self.target[at] {
                    Some(Entry::Service(target)) => again(target),
                    Some(Entry::Bundle(bundle)) => {
                        self.new.bundle(bundle).contents().for_each(again);
                    }
                    None => {}
                }
            }
            if let Some(target) = self.place[at] {
                plan.moved.push((at as Index, target));
                let keeps = if kept || !self.active[at] { !0 } else { 3 << RUN_SHIFT | AWAITED };
                plan.bytes[target as usize] |= byte & keeps;
            }
        }
        // What is up goes on being up, whoever else wanted it in its place.
        for byte in &mut plan.bytes {
            if *byte & (UP | STARTING) != 0 {
                *byte &= !AGAIN;
            }
        }
        self.free_awaited(&mut plan);
        plan.start.sort_unstable();
        plan.start.dedup();
        plan.start.retain(|&index| plan.bytes[index as usize] & AGAIN != 0);
        plan
    }
}

impl Comparison<'_, '_> {
    /// What waited for a controlled service, and does not have to any more,
    /// starts.
    fn free_awaited(&self, plan: &mut Plan) {
        let was = held_back(self.old, |index| self.active[index as usize]);
        let is = held_back(self.new, |index| is_active(plan.bytes[index as usize]));
        for (index, was) in was.into_iter().enumerate() {
            let awaited = self.bytes.get(index).copied().unwrap_or(0) & AWAITED != 0;
            let Some(target) = self.place[index] else { continue };
            let at = target as usize;
            if was && awaited && !is[at] && !is_active(plan.bytes[at]) {
                plan.bytes[at] |= AGAIN | WANTED;
                plan.start.push(target);
            }
        }
    }
}

/// What is controlled and not active, and all that needs it.
fn held_back(database: &Database<'_>, active: impl Fn(Index) -> bool) -> Vec<bool> {
    let mut held_back = vec![false; database.len()];
    let absent = |index: &Index| database.service(*index).started_by().is_some() && !active(*index);
    let mut found: Vec<Index> = (0..database.len() as Index).filter(absent).collect();
    while let Some(index) = found.pop() {
        if !core::mem::replace(&mut held_back[index as usize], true) {
            found.extend(database.service(index).needed_by());
        }
    }
    held_back
}

#[cfg(test)]
mod tests;
