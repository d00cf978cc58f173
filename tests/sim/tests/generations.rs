//! Generations on a disk that forgets what was not synced: wherever the power goes, the device starts
//! the old generation or the new one, whole, and its records say what has become of them.

use std::collections::BTreeSet;

use engine::deploy::deeds::{self, Deed};
use engine::deploy::disk::{Disk as _, Kind};
use model::deploy::history::{BOOT, FOLDER, Number, Outcome, Record};
use model::deploy::trial::{DEADLINE, Id, PENDING, Pending, Start};
use model::limits::TRIAL_START_MIN;
use sim::disk::Disk;
use sim::laws::Law;

const OLD: &str = "/nix/store/old";
const NEW: &str = "/nix/store/new";
const BYTES: &[u8] = b"all that a generation is";

fn plain(path: &str) -> &[u8] {
    path.trim_start_matches('/').as_bytes()
}

fn first() -> Number {
    Number::FIRST
}

fn second() -> Number {
    Number::new(2).expect("it is one")
}

fn record(outcome: Outcome) -> Record {
    Record {
        outcome,
        made: 1,
        ended: 2,
        by: "somebody".into(),
        from: None,
        why: String::new(),
        id: "0123-abcd".into(),
        reason: if outcome == Outcome::Failed { "it did not work".into() } else { String::new() },
        lines: vec!["a line".into()],
    }
}

fn pending(attempts: u32) -> Pending {
    Pending {
        id: Id::parse("0123-abcd").expect("it is one"),
        number: second(),
        new: NEW.into(),
        deadline: DEADLINE,
        start_max: TRIAL_START_MIN,
        confirm: true,
        by: "somebody".into(),
        attempts,
        boots: attempts,
        up: vec![],
    }
}

/// A store path that somebody has copied, and synced nothing of.
fn copy(disk: &mut Disk, path: &str) {
    disk.make_folder(plain(path)).expect("it is new");
    let mut file = disk.create(plain(&format!("{path}/init")), true).expect("it is new");
    disk.write(&mut file, BYTES).expect("there is room");
}

/// A device as its image makes it, with its generation by number, and another one copied.
fn device() -> Disk {
    let mut disk = Disk::default();
    for folder in ["boot", "nix", "nix/store"] {
        disk.make_folder(folder.as_bytes()).expect("it is new");
    }
    copy(&mut disk, OLD);
    disk.make_link(plain(BOOT), OLD.as_bytes()).expect("it is new");
    let mut disk = disk.settled();
    copy(&mut disk, NEW);
    disk
}

/// What a start finds.
struct Found {
    boot: Option<String>,
    pending: Option<Pending>,
    has_pending: bool,
    /// Links of the two numbers, and their records.
    links: [Option<String>; 2],
    records: [Option<Option<Record>>; 2],
}

fn text(disk: &mut Disk, path: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    disk.read(plain(path), &mut |more| {
        bytes.extend(more);
        true
    })
    .ok()
    .map(|()| bytes)
}

fn link(disk: &mut Disk, path: &str) -> Option<String> {
    match disk.look(plain(path)) {
        Ok(Some(Kind::Link(target))) => String::from_utf8(target).ok(),
        _ => None,
    }
}

fn find(disk: &mut Disk) -> Found {
    let pending = text(disk, PENDING);
    let numbers = [first(), second()];
    Found {
        boot: link(disk, BOOT),
        has_pending: pending.is_some(),
        pending: pending.and_then(|bytes| Pending::read(&bytes)),
        links: numbers.map(|number| link(disk, &number.link())),
        records: numbers
            .map(|number| text(disk, &number.record()).map(|bytes| Record::read(&bytes))),
    }
}

/// What is wrong with what a start finds, whatever has been done before.
fn wrong(disk: &mut Disk) -> Option<(Law, String)> {
    let found = find(disk);
    let mut named: Vec<&str> = found.links.iter().flatten().map(String::as_str).collect();
    let Some(boot) = &found.boot else {
        return Some((Law::OneGeneration, "nothing starts".into()));
    };
    named.push(boot);
    if found.has_pending && found.pending.is_none() {
        return Some((Law::Told, "what the next start tries is half written".into()));
    }
    named.extend(found.pending.iter().map(|pending| &*pending.new));
    for path in named {
        if text(disk, &format!("{path}/init")).as_deref() != Some(BYTES) {
            return Some((Law::OneGeneration, format!("{path} is not whole")));
        }
    }
    for (at, record) in found.records.iter().enumerate() {
        let number = at + 1;
        match record {
            Some(None) => {
                return Some((Law::Told, format!("the record of {number} is half written")));
            }
            None if found.links[at].is_some() => {
                return Some((Law::Told, format!("there is no record of {number}")));
            }
            _ => {}
        }
    }
    let outcome = found.records[1].clone().flatten().map(|record| record.outcome);
    match outcome {
        Some(Outcome::Committed) if boot != NEW => {
            Some((Law::Told, "it was committed, and does not start".into()))
        }
        Some(Outcome::Failed) if boot == NEW => Some((Law::Told, "it failed, and starts".into())),
        Some(Outcome::Failed) if found.has_pending => {
            Some((Law::Told, "it failed, and is tried again".into()))
        }
        None if found.has_pending => Some((Law::Told, "it is tried, and nobody knows it".into())),
        _ => None,
    }
}

/// One thing that a device does, and what holds from then on, once it is done.
type Step = (Vec<Deed>, fn(&Found) -> bool);

/// Somebody began to make the folder and was killed, with the power still on.
fn killed() -> Step {
    (vec![Deed::Folder { path: FOLDER.into() }], |_| true)
}

fn add_first() -> Step {
    (deeds::name(first(), OLD, &record(Outcome::Committed)), |it| it.links[0].is_some())
}

fn add() -> Step {
    (deeds::add(second(), NEW, &record(Outcome::Trial)), |it| it.links[1].is_some())
}

fn commit() -> Step {
    (deeds::commit(second(), NEW, &record(Outcome::Committed)), |it| {
        let outcome = it.records[1].iter().flatten().map(|record| record.outcome).next();
        it.boot.as_deref() == Some(NEW) && !it.has_pending && outcome == Some(Outcome::Committed)
    })
}

fn fail() -> Step {
    (deeds::note(second(), &record(Outcome::Failed)), |it| {
        it.records[1].iter().flatten().any(|record| record.outcome == Outcome::Failed)
    })
}

fn pend() -> Step {
    (deeds::pend(&pending(0)), |it| it.pending.is_some())
}

fn count() -> Step {
    let Start::Try(next) = pending(0).start(OLD) else { unreachable!("it is the first one") };
    (deeds::pend(&next), |it| it.pending.as_ref().is_some_and(|pending| pending.attempts == 1))
}

fn give_up() -> Step {
    (deeds::give_up(second(), &record(Outcome::Failed)), |it| {
        let failed = |record: &Record| record.outcome == Outcome::Failed;
        !it.has_pending && it.records[1].iter().flatten().any(failed)
    })
}

fn forget() -> Step {
    (deeds::delete(second()), |it| it.links[1].is_none() && it.records[1].is_none())
}

fn not_tried() -> Step {
    (deeds::forget_pending(), |it| !it.has_pending)
}

fn settle() -> Step {
    (deeds::settle(second(), &record(Outcome::Committed)), |it| {
        let committed = |record: &Record| record.outcome == Outcome::Committed;
        !it.has_pending && it.records[1].iter().flatten().any(committed)
    })
}

/// The stories, each from a device whose new generation was just copied.
fn stories() -> Vec<(&'static str, Vec<Step>)> {
    vec![
        ("kept", vec![add_first(), add(), commit()]),
        ("gone back from", vec![add_first(), add(), fail(), forget()]),
        ("kept after a restart", vec![add_first(), add(), pend(), count(), commit()]),
        ("given up after a restart", vec![add_first(), add(), pend(), count(), give_up()]),
        ("not tried after all", vec![add_first(), add(), pend(), not_tried()]),
        ("alone", vec![add()]),
        ("begun again after a kill", vec![killed(), add_first()]),
    ]
}

/// Plays a story with all cuts, of which the sync of this number does nothing; the first thing that is
/// found wrong.
fn play(steps: &[Step], broken: Option<usize>) -> (Option<(Law, String)>, usize) {
    let mut disk = device().without_sync(broken);
    // From so many acts on this is so.
    let mut promises: Vec<(usize, usize)> = Vec::new();
    for (at, (deeds, _)) in steps.iter().enumerate() {
        deeds::carry_out(&mut disk, deeds).expect("there is room");
        promises.push((disk.acts(), at));
    }
    let mut first = None;
    for seed in 0..3 {
        disk.cuts(seed, |count, mut after| {
            if first.is_some() {
                return;
            }
            first =
                wrong(&mut after).map(|(law, what)| (law, format!("{what}, after act {count}")));
            let found = find(&mut after);
            // Only the last thing that was done: it may take back what was before.
            let last = promises.iter().rev().find(|(acts, _)| *acts <= count);
            let next = promises.iter().any(|(acts, _)| *acts > count);
            if let Some((acts, at)) = last
                && (*acts == count || !next)
                && !(steps[*at].1)(&found)
                && first.is_none()
            {
                first = Some((Law::PointOfNoReturn, format!("step {at} was done, and is not so")));
            }
        });
    }
    (first, disk.syncs())
}

#[test]
fn wherever_the_power_goes_the_old_or_the_new_generation_starts_whole() {
    for (name, steps) in stories() {
        let (wrong, _) = play(&steps, None);
        assert_eq!(wrong.map(|(law, what)| (law.sentence(), what)), None, "{name}");
    }
}

#[test]
fn what_a_start_does_about_a_trial_may_be_cut_off_too() {
    // It was committed by the link alone; the start finds the rest to do.
    let mut disk = device();
    for (deeds, _) in [add_first(), add(), pend(), count()] {
        deeds::carry_out(&mut disk, &deeds).expect("there is room");
    }
    let link = deeds::commit(second(), NEW, &record(Outcome::Committed));
    deeds::carry_out(&mut disk, &link[..3]).expect("there is room");
    let mut disk = disk.settled();
    let found = find(&mut disk);
    assert_eq!(found.pending.expect("it is there").start(NEW), Start::Committed);
    let (deeds, holds) = settle();
    deeds::carry_out(&mut disk, &deeds).expect("there is room");
    let end = disk.acts();
    disk.cuts(0, |count, mut after| {
        assert_eq!(wrong(&mut after), None, "after act {count}");
        assert!(count < end || holds(&find(&mut after)));
    });
}

/// Syncs that this deed asks for.
fn syncs(deed: &Deed) -> usize {
    matches!(deed, Deed::Write { .. } | Deed::SyncFolder { .. } | Deed::SyncAll { .. }).into()
}

#[test]
fn each_sync_is_needed() {
    // A sync is known by what is done and its place therein: where there is nothing to keep it is
    // needed in another story.
    let (mut all, mut missed) = (BTreeSet::new(), BTreeSet::new());
    for (name, steps) in stories() {
        let mut number = 0;
        for (deeds, _) in &steps {
            let shape: Vec<String> = deeds.iter().map(shape).collect();
            for (at, _) in deeds.iter().enumerate().filter(|(_, deed)| syncs(deed) > 0) {
                let known = (shape.join(" "), at);
                all.insert(known.clone());
                if play(&steps, Some(number)).0.is_some() {
                    missed.insert(known);
                }
                number += 1;
            }
        }
        assert_eq!(number, play(&steps, None).1, "{name}");
    }
    assert!(all.len() > 12, "{all:?}");
    let needless: Vec<_> = all.difference(&missed).collect();
    assert_eq!(needless, Vec::<&(String, usize)>::new(), "nobody misses these");
}

/// What is done, and to which path; numbers do not count.
fn shape(deed: &Deed) -> String {
    let plain = |path: &String| path.replace(['1', '2'], "N");
    match deed {
        Deed::Folder { path } => format!("folder:{path}"),
        Deed::Write { path, .. } => format!("write:{}", plain(path)),
        Deed::Link { path, .. } => format!("link:{}", plain(path)),
        Deed::SyncFolder { path } => format!("sync:{path}"),
        Deed::SyncAll { .. } => "sync".into(),
        Deed::Rename { to, .. } => format!("rename:{}", plain(to)),
        Deed::Remove { path } => format!("remove:{}", plain(path)),
    }
}
