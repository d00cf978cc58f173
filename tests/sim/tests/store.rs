//! The power fails while store paths come and go: what is in the store under its name is whole.

use std::collections::{BTreeMap, BTreeSet};

use engine::deploy::disk::{Disk as _, make_folders};
use engine::deploy::receive::{Fault, Receiver};
use engine::deploy::store::{self, INCOMING, STORE};
use engine::deploy::{archive, collect};
use model::deploy::path_info::PathInfo;
use model::deploy::store_path::StorePath;
use sim::disk::{Disk, Refusal};

fn path(name: &str) -> StorePath {
    let letter = name.as_bytes()[0];
    let hash = String::from_utf8(vec![letter; 32]).expect("text");
    StorePath::parse(&format!("{hash}-{name}")).expect("it is one")
}

/// A path with its archive.
struct Parcel {
    info: PathInfo,
    archive: Vec<u8>,
}

fn parcel(name: &str, references: &[&str]) -> Parcel {
    let mut disk = Disk::default();
    let mut put = |at: &str, text: &str, executable| {
        let mut file = disk.create(at.as_bytes(), executable).expect("made");
        disk.write(&mut file, text.as_bytes()).expect("written");
    };
    if name.starts_with('a') {
        put("x", "a file alone", false);
    } else {
        disk.make_folder(b"x").expect("made");
        disk.make_folder(b"x/bin").expect("made");
        disk.make_link(b"x/sh", b"bin/program").expect("made");
        let mut file = disk.create(b"x/bin/program", true).expect("made");
        disk.write(&mut file, format!("the program of {name}").as_bytes()).expect("written");
    }
    let mut archive = Vec::new();
    let put = &mut |bytes: &[u8]| {
        archive.extend(bytes);
        true
    };
    archive::write(&mut disk, b"x", put).expect("it has one");
    let (hash, size) = archive::hash(&mut disk, b"x").expect("it has one");
    assert_eq!(size, archive.len() as u64);
    let mut references: Vec<StorePath> = references.iter().map(|name| path(name)).collect();
    references.sort();
    Parcel {
        info: PathInfo { path: path(name), hash, size, references, signatures: vec![] },
        archive,
    }
}

/// Needs first: two that are needed by others, and one on top.
fn parcels() -> Vec<Parcel> {
    vec![
        parcel("alone", &[]),
        parcel("c", &["c"]),
        parcel("dns", &["c", "dns"]),
        parcel("system", &["alone", "c", "dns"]),
    ]
}

fn receiver(disk: Disk) -> Receiver<Disk> {
    let mut disk = disk;
    let contents = store::contents(&mut disk).expect("it can be read");
    let known = contents.into_all().into_iter().filter_map(|(path, info)| info.map(|_| path));
    Receiver::new(disk, known.collect()).expect("it begins")
}

fn receive(receiver: &mut Receiver<Disk>, parcel: &Parcel) -> Result<(), Fault<Refusal>> {
    receiver.begin(parcel.info.clone())?;
    for piece in parcel.archive.chunks(50) {
        receiver.push(piece)?;
    }
    receiver.end()
}

/// An empty device.
fn empty() -> Disk {
    let mut disk = Disk::default();
    make_folders(&mut disk, STORE).expect("made");
    disk.settled()
}

/// A device with some of them.
fn with(parcels: &[Parcel]) -> Disk {
    let mut receiver = receiver(empty());
    for parcel in parcels {
        receive(&mut receiver, parcel).expect("received");
    }
    receiver.commit().expect("committed");
    receiver.disk.settled()
}

/// What is wrong in a store: paths that are not what they are called, and those that lack others.
fn wrong(disk: &mut Disk, parcels: &[Parcel]) -> Vec<String> {
    let contents = store::contents(disk).expect("it can be read");
    let known: BTreeMap<&StorePath, &PathInfo> =
        parcels.iter().map(|parcel| (&parcel.info.path, &parcel.info)).collect();
    let mut wrong = Vec::new();
    for (path, info) in contents.all() {
        let real = known[path];
        if archive::hash(disk, &store::place(path)) != Ok((real.hash, real.size)) {
            wrong.push(format!("{path} is not whole"));
        }
        if info.as_ref().is_some_and(|info| info != real) {
            wrong.push(format!("of {path} something else is known"));
        }
        let lacks = |needs: &&StorePath| !contents.has(needs);
        wrong.extend(real.references.iter().filter(lacks).map(|it| format!("{path} lacks {it}")));
    }
    wrong
}

/// Plays `story`, cuts the power everywhere, and gives what is wrong then, each thing once.
/// `story` gives, beside the disk, from which act on what must be there.
fn play(
    parcels: &[Parcel],
    broken_sync: Option<usize>,
    story: &dyn Fn(Option<usize>) -> (Disk, Vec<(usize, StorePath)>),
) -> (BTreeSet<String>, usize) {
    let (disk, promises) = story(broken_sync);
    let mut found = BTreeSet::new();
    for seed in 0..3 {
        disk.cuts(seed, |count, mut after| {
            found.extend(wrong(&mut after, parcels));
            let contents = store::contents(&mut after).expect("it can be read");
            for (_, path) in promises.iter().filter(|(from, _)| count >= *from) {
                if contents.get(path).is_none_or(Option::is_none) {
                    found.insert(format!("{path} was there, and is not"));
                }
            }
            // What a cut leaves is cleaned up, and goes on.
            collect::tidy(&mut after).expect("it can be tidied");
            assert_eq!(after.look(INCOMING), Ok(None));
            found.extend(wrong(&mut after, parcels));
        });
    }
    (found, disk.syncs())
}

/// Nothing is wrong, and each sync is there for a reason.
fn holds(parcels: &[Parcel], story: &dyn Fn(Option<usize>) -> (Disk, Vec<(usize, StorePath)>)) {
    let (found, syncs) = play(parcels, None, story);
    assert_eq!(found, BTreeSet::new());
    assert!(syncs > 0);
    for sync in 0..syncs {
        let (found, _) = play(parcels, Some(sync), story);
        assert!(!found.is_empty(), "nothing needs sync {sync} of {syncs}");
    }
}

#[test]
fn a_copy_that_is_cut_leaves_whole_paths_only() {
    let parcels = parcels();
    holds(&parcels, &|broken_sync| {
        let mut receiver = receiver(empty().without_sync(broken_sync));
        let mut promises = Vec::new();
        // Two commits: the first path alone, then all that build on each other.
        for batch in [&parcels[..1], &parcels[1..]] {
            for parcel in batch {
                receive(&mut receiver, parcel).expect("received");
            }
            receiver.commit().expect("committed");
            let from = receiver.disk.acts();
            promises.extend(batch.iter().map(|parcel| (from, parcel.info.path.clone())));
        }
        assert_eq!(receiver.committed(), 4);
        (receiver.disk, promises)
    });
}

#[test]
fn a_path_that_was_not_whole_is_replaced_by_one_that_is() {
    let parcels = parcels();
    let mut disk = with(&parcels);
    // Somebody has changed it; verifying has taken away what is known of it.
    let dns = path("dns");
    let program = [&store::place(&dns)[..], b"/bin/program"].concat();
    disk.remove(&program).expect("removed");
    disk.remove(&store::info_place(&dns)).expect("removed");
    let disk = disk.settled();
    let story = |broken_sync| {
        let mut receiver = receiver(disk.clone().without_sync(broken_sync));
        receive(&mut receiver, &parcels[2]).expect("received");
        receiver.commit().expect("committed");
        let from = receiver.disk.acts();
        (receiver.disk, vec![(from, dns.clone())])
    };
    let (disk, promises) = story(None);
    for seed in 0..3 {
        disk.cuts(seed, |count, mut after| {
            let contents = store::contents(&mut after).expect("it can be read");
            let known = contents.get(&dns).is_some_and(Option::is_some);
            assert!(known || count < promises[0].0, "it was there");
            if known {
                assert_eq!(wrong(&mut after, &parcels), [""; 0], "what is known to be whole is");
            }
        });
    }
}

#[test]
fn a_collection_that_is_cut_leaves_whole_paths_only() {
    let parcels = parcels();
    let disk = with(&parcels);
    holds(&parcels, &|broken_sync| {
        let mut disk = disk.clone().without_sync(broken_sync);
        let contents = store::contents(&mut disk).expect("it can be read");
        let references = collect::references(&mut disk, &contents).expect("known");
        let roots = [path("alone")].into_iter().collect();
        let groups = collect::garbage(&references, &roots);
        let names: Vec<Vec<&str>> =
            groups.iter().map(|group| group.iter().map(|path| path.name()).collect()).collect();
        assert_eq!(names, [["system"], ["dns"], ["c"]]);
        collect::remove(&mut disk, &groups, |_| {}).expect("removed");
        (disk, vec![(0, path("alone"))])
    });
}

#[test]
fn what_does_not_come_whole_leaves_nothing_behind() {
    let parcels = parcels();
    let mut receiver = receiver(with(&parcels[..2]));
    let mut changed = parcel("dns", &["c", "dns"]);
    *changed.archive.last_mut().expect("it has bytes") ^= 1;
    assert!(matches!(receive(&mut receiver, &changed), Err(Fault::Archive(_))));
    let mut other = parcel("dns", &["c", "dns"]);
    other.info.hash = parcels[0].info.hash;
    assert!(matches!(receive(&mut receiver, &other), Err(Fault::Hash { .. })));
    let mut larger = parcel("dns", &["c", "dns"]);
    larger.info.size -= 1;
    assert_eq!(receive(&mut receiver, &larger), Err(Fault::Larger));
    assert_eq!(receive(&mut receiver, &parcels[3]), Err(Fault::Missing(path("dns"))));
    receiver.disk.room = 3;
    assert_eq!(receive(&mut receiver, &parcels[2]), Err(Fault::Disk(Refusal::NoRoom)));
    receiver.disk.room = usize::MAX;
    receiver.abort().expect("dropped");
    assert_eq!(receiver.disk.list(INCOMING), Ok(vec![]));
    receiver.commit().expect("nothing to do");
    assert_eq!(receiver.committed(), 0);
    receive(&mut receiver, &parcels[2]).expect("and the right one is taken");
    receiver.commit().expect("committed");
    assert_eq!(wrong(&mut receiver.disk, &parcels), [""; 0]);
}

#[test]
fn what_was_never_described_is_known_by_what_stands_in_it() {
    let parcels = parcels();
    let mut disk = with(&parcels);
    // A path that came without a word about it, with the hash of another in a file.
    let place = store::place(&path("kept"));
    let mut file = disk.create(&place, false).expect("made");
    let text = format!("exec /nix/store/{}/bin/program", path("dns"));
    disk.write(&mut file, text.as_bytes()).expect("written");
    let contents = store::contents(&mut disk).expect("it can be read");
    assert_eq!(contents.get(&path("kept")), Some(&None));
    let references = collect::references(&mut disk, &contents).expect("found out");
    assert_eq!(references.get(&path("kept")), Some(&vec![path("dns")]));
    let roots = [path("kept")].into_iter().collect();
    let groups = collect::garbage(&references, &roots);
    assert_eq!(groups, [[&path("system")], [&path("alone")]]);
}
