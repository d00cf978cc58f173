//! Updates made up on dice: what an update leaves alone, what it stops, and
//! what it brings back.

use engine::service::update::{Conversion, Manner, Plan, is_active, plan};
use model::service::database::{Contents, Database, Entry, Index, Kind, Longrun, Oneshot};
use model::service::live_state::{AGAIN, STARTING, UP, WANTED};
use sim::dice::{Dice, seeds};
use sim::laws::{Law, broken};
use sim::services;

/// The same services but for a few: gone, new, changed, of another kind, or in
/// need of others; in an order of their own.
fn changed(dice: &mut Dice, old: &Contents) -> Contents {
    let mut services: Vec<_> = old
        .services
        .iter()
        .filter(|_| dice.percent(90))
        .map(|service| service.name.clone())
        .collect();
    for number in 0..dice.below(3) {
        services.push(format!("new{number}"));
    }
    let mut new = services::database(dice, services.len());
    // Needs and digests as they were, where both ends are still there.
    let place = |name: &str| services.iter().position(|known| known == name);
    let was = |name: &str| old.services.iter().find(|service| service.name == name);
    for (at, (entry, name)) in new.services.iter_mut().zip(&services).enumerate() {
        entry.name.clone_from(name);
        entry.digest = 1_000 + at as u64;
        if let Some(before) = was(name) {
            entry.essential = before.essential;
            if dice.percent(85) {
                entry.digest = before.digest;
                let names = before.needs.iter().map(|need| &old.services[*need as usize].name);
                entry.needs = names.filter_map(|name| place(name)).map(|at| at as Index).collect();
                entry.needs.sort_unstable();
            } else {
                entry.needs.clear();
            }
        } else {
            entry.needs.clear();
        }
    }
    // Longruns come first in a database; which is which was thrown anew.
    for (entry, name) in new.services.iter_mut().zip(&services) {
        if let Some(before) = was(name)
            && dice.percent(90)
        {
            entry.kind = before.kind.clone();
        }
    }
    sorted(new)
}

/// Longruns first, as the compiler puts them.
fn sorted(contents: Contents) -> Contents {
    let longrun = |at: &usize| !matches!(contents.services[*at].kind, Kind::Longrun(_));
    let mut order: Vec<usize> = (0..contents.services.len()).collect();
    order.sort_by_key(longrun);
    let place =
        |old: Index| order.iter().position(|at| *at == old as usize).expect("each") as Index;
    let mut services: Vec<_> = order.iter().map(|at| contents.services[*at].clone()).collect();
    for service in &mut services {
        service.needs = service.needs.iter().map(|need| place(*need)).collect();
        service.needs.sort_unstable();
    }
    Contents { services, ..Contents::default() }
}

/// State bytes that a manager can have left: what is up has its needs up.
fn bytes(dice: &mut Dice, contents: &Contents) -> Vec<u8> {
    let mut bytes = vec![0; contents.services.len()];
    // Needs may stand behind: as often as there are services is enough.
    let wanted: Vec<bool> = bytes.iter().map(|_| dice.percent(60)).collect();
    for _ in 0..bytes.len() {
        for at in 0..bytes.len() {
            let needs = &contents.services[at].needs;
            if wanted[at] && needs.iter().all(|need| bytes[*need as usize] & UP != 0) {
                bytes[at] = UP | if at % 2 == 0 { WANTED } else { 0 };
            }
        }
    }
    for at in 0..bytes.len() {
        let needs = &contents.services[at].needs;
        if bytes[at] == 0 && needs.iter().all(|n| bytes[*n as usize] & UP != 0) && dice.percent(20)
        {
            bytes[at] = STARTING;
        }
    }
    bytes
}

struct Story<'a> {
    old: Database<'a>,
    new: Database<'a>,
    bytes: Vec<u8>,
    conversions: Vec<Conversion>,
}

impl Story<'_> {
    fn check(&self, plan: &Plan) {
        let (old, new) = (&self.old, &self.new);
        let active = |at: Index| is_active(self.bytes[at as usize]);
        let stops = |at: Index| plan.stop.contains(&at);
        let moved = |at: Index| plan.moved.iter().find(|(old, _)| *old == at).map(|(_, new)| *new);
        let wrong = |what: String| -> ! {
            let names = |all: &[Index]| -> Vec<&str> {
                all.iter().map(|at| old.service(*at).name()).collect()
            };
            broken(Law::Update, format!("{what}; stop {:?}, {plan:?}", names(&plan.stop)))
        };
        for (at, (was, is)) in plan.moved.iter().enumerate() {
            if plan.moved[..at].iter().any(|(a, b)| a == was || b == is) {
                wrong("two services have one place".into());
            }
            if old.service(*was).is_longrun() != new.service(*is).is_longrun() {
                wrong(format!("{} becomes another kind", old.service(*was).name()));
            }
        }
        for service in old.services() {
            let at = service.index();
            let name = service.name();
            if stops(at) {
                if !active(at) {
                    wrong(format!("{name} stops and is down"));
                }
                // What needs it stops with it, unless it is essential.
                for user in service.needed_by().filter(|user| active(*user) && !stops(*user)) {
                    let user = old.service(user);
                    if !self.essential_needs().contains(&user.index()) {
                        wrong(format!("{} stays up without {name}", user.name()));
                    }
                }
                if self.may_stay(at, plan) {
                    wrong(format!("{name} stops without a reason"));
                }
                if let Some(Entry::Service(target)) = self.target(at)
                    && plan.bytes[target as usize] & (UP | STARTING | AGAIN) == 0
                {
                    wrong(format!("{name} does not come back"));
                }
            } else if active(at) {
                let Some(target) = moved(at) else { wrong(format!("{name} stays up nowhere")) };
                // Another that is called so from now on may have been wanted, too.
                if (plan.bytes[target as usize] ^ self.bytes[at as usize]) & !WANTED != 0 {
                    wrong(format!("{name} is touched"));
                }
            }
        }
        for service in new.services() {
            let byte = plan.bytes[service.index() as usize];
            let starts = plan.start.contains(&service.index());
            if starts != (byte & AGAIN != 0) {
                wrong(format!("{} has {byte:#x} and starts: {starts}", service.name()));
            }
        }
    }

    /// It is the same as before, and so is all that it needed and needs.
    fn may_stay(&self, at: Index, plan: &Plan) -> bool {
        let stays = |at: Index| is_active(self.bytes[at as usize]) && !plan.stop.contains(&at);
        let Some((_, target)) = plan.moved.iter().find(|(old, _)| *old == at) else { return false };
        let (was, is) = (self.old.service(at), self.new.service(*target));
        let origin = |new: Index| plan.moved.iter().find(|(_, to)| *to == new).map(|(old, _)| *old);
        was.digest() == is.digest()
            && !self.conversions.iter().any(|c| c.old == at && c.restart)
            && was.needs().all(stays)
            && is.needs().all(|need| origin(need).is_some_and(stays))
    }

    fn target(&self, at: Index) -> Option<Entry> {
        let told = self.conversions.iter().find(|c| c.old == at).and_then(|c| c.new);
        told.or_else(|| self.new.find(self.old.service(at).name()))
    }

    /// Essential services and all that they need.
    fn essential_needs(&self) -> Vec<Index> {
        let mut found: Vec<Index> =
            self.old.services().filter(|s| s.essential()).map(|s| s.index()).collect();
        let mut next = 0;
        while let Some(&at) = found.get(next) {
            next += 1;
            for need in self.old.service(at).needs() {
                if !found.contains(&need) {
                    found.push(need);
                }
            }
        }
        found
    }
}

#[test]
fn an_update_touches_nothing_that_may_stay_and_leaves_nobody_without_its_needs() {
    let (mut updates, mut lost) = (0, 0);
    for seed in seeds(4_000) {
        let mut dice = Dice::new(seed);
        let count = 1 + dice.below(10);
        let old = services::database(&mut dice, count);
        let new = changed(&mut dice, &old);
        let bytes = bytes(&mut dice, &old);
        let (old, new) = (old.encode(), new.encode());
        let (old, new) = (Database::open(&old).unwrap(), Database::open(&new).unwrap());
        let mut conversions = Vec::new();
        for at in 0..old.len() as Index {
            if !dice.percent(15) {
                continue;
            }
            let target = dice.below(new.len() + 1);
            let new = (target < new.len()).then_some(Entry::Service(target as Index));
            conversions.push(Conversion { old: at, new, restart: dice.percent(50) });
        }
        let manner = Manner { essential: dice.percent(50), as_is: false };
        let found = plan(&old, &new, &bytes, &conversions, manner);
        let story = Story { old, new, bytes, conversions };
        updates += 1;
        match found {
            Ok(plan) => story.check(&plan),
            Err(_) => lost += 1,
        }
    }
    assert!(updates == 1 || 2 * lost <= updates, "most updates keep what is essential");
}

#[test]
fn the_same_database_again_is_no_update() {
    for seed in seeds(500) {
        let mut dice = Dice::new(seed);
        let contents = services::database(&mut dice, 8);
        let bytes = bytes(&mut dice, &contents);
        let encoded = contents.encode();
        let database = Database::open(&encoded).unwrap();
        let plan = plan(&database, &database, &bytes, &[], Manner::default()).unwrap();
        if !(plan.stop.is_empty() && plan.start.is_empty() && plan.bytes == bytes) {
            broken(Law::Update, format!("{plan:?} of {bytes:?}"));
        }
    }
}

#[test]
fn a_kind_of_service_is_never_taken_for_the_other() {
    let longrun = Kind::Longrun(Longrun::default());
    let mut contents = services::plain(1, &[&[]]);
    contents.services[0].kind = longrun;
    let mut other = contents.clone();
    other.services[0].kind = Kind::Oneshot(Oneshot::default());
    let (old, new) = (contents.encode(), other.encode());
    let (old, new) = (Database::open(&old).unwrap(), Database::open(&new).unwrap());
    let plan = plan(&old, &new, &[UP], &[], Manner::default()).unwrap();
    assert_eq!((plan.stop, plan.moved.len(), plan.start), (vec![0], 0, vec![0]));
}
