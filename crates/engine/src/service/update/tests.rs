//! What another database leaves alone, and what it restarts.

use super::*;
use alloc::string::String;
use core::time::Duration;
use model::service::database::{
    BundleEntry, Contents, ControlEntry, ControllerEntry, Kind, Longrun, Oneshot, ServiceEntry,
};

/// Longruns `name:digest` behind what they need, then oneshots (with a `!`).
fn contents(services: &[(&str, u64, &[u32])], bundles: &[(&str, &[u32])]) -> Contents {
    let services = services.iter().map(|(name, digest, needs)| ServiceEntry {
        name: name.trim_start_matches(['!', '*']).into(),
        essential: name.contains('*'),
        recommended: false,
        timeout_up: Duration::ZERO,
        timeout_down: Duration::ZERO,
        needs: needs.to_vec(),
        digest: *digest,
        outputs_owner: None,
        kind: if name.starts_with('!') {
            Kind::Oneshot(Oneshot::default())
        } else {
            Kind::Longrun(Longrun::default())
        },
    });
    let bundles = bundles.iter().map(|(name, contents)| BundleEntry {
        name: (*name).into(),
        essential: false,
        recommended: false,
        contents: contents.to_vec(),
    });
    Contents { services: services.collect(), bundles: bundles.collect(), ..Contents::default() }
}

fn compare(
    old: &Contents,
    new: &Contents,
    bytes: &[u8],
    conversions: &[Conversion],
    manner: Manner,
) -> Result<Plan, EssentialLost> {
    let (old, new) = (old.encode(), new.encode());
    plan(&Database::open(&old).unwrap(), &Database::open(&new).unwrap(), bytes, conversions, manner)
}

fn names(contents: &Contents, indices: &[Index]) -> Vec<String> {
    indices.iter().map(|i| contents.services[*i as usize].name.clone()).collect()
}

#[test]
fn the_same_database_touches_nothing() {
    let old = contents(&[("a", 1, &[]), ("b", 2, &[0]), ("!c", 3, &[])], &[]);
    let found = compare(&old, &old, &[3, 1, 0x40], &[], Manner::default()).unwrap();
    assert_eq!((found.stop.len(), found.start.len()), (0, 0));
    assert_eq!(found.bytes, [3, 1, 0x40]);
    assert_eq!(found.moved, [(0, 0), (1, 1), (2, 2)]);
}

#[test]
fn a_changed_service_takes_along_what_needs_it() {
    let old = contents(&[("a", 1, &[]), ("b", 2, &[0]), ("d", 4, &[]), ("e", 5, &[1])], &[]);
    let new = contents(&[("a", 9, &[]), ("b", 2, &[0]), ("d", 4, &[]), ("e", 5, &[1])], &[]);
    let found = compare(&old, &new, &[1, 3, 1, 0], &[], Manner::default()).unwrap();
    assert_eq!(names(&old, &found.stop), ["a", "b"]);
    assert_eq!(names(&new, &found.start), ["a", "b"]);
    assert_eq!(found.bytes, [AGAIN, AGAIN | WANTED, UP, 0]);
    let as_is = Manner { as_is: true, ..Manner::default() };
    assert!(compare(&old, &new, &[1, 3, 1, 0], &[], as_is).unwrap().stop.is_empty());
}

#[test]
fn a_need_that_is_new_or_down_is_waited_for() {
    let old = contents(&[("a", 1, &[]), ("b", 2, &[])], &[]);
    let new = contents(&[("a", 1, &[2]), ("b", 2, &[]), ("n", 3, &[])], &[]);
    let found = compare(&old, &new, &[1, 1], &[], Manner::default()).unwrap();
    assert_eq!(names(&old, &found.stop), ["a"]);
    assert_eq!(names(&new, &found.start), ["a"]);
}

#[test]
fn what_has_gone_is_stopped_and_a_bundle_replaces_its_namesake() {
    let old = contents(&[("a", 1, &[]), ("b", 2, &[]), ("!c", 3, &[0])], &[]);
    let new = contents(&[("x", 1, &[]), ("y", 2, &[])], &[("b", &[0, 1])]);
    let found = compare(&old, &new, &[1, 1, 1], &[], Manner::default()).unwrap();
    assert_eq!(names(&old, &found.stop), ["a", "b", "c"]);
    assert_eq!(names(&new, &found.start), ["x", "y"]);
    assert!(found.moved.is_empty());
}

#[test]
fn a_renamed_service_keeps_its_place_and_its_state() {
    let old = contents(&[("a", 1, &[]), ("b", 2, &[0])], &[]);
    let new = contents(&[("b", 2, &[1]), ("z", 1, &[])], &[]);
    let rename = [Conversion { old: 0, new: Some(Entry::Service(1)), restart: false }];
    let found = compare(&old, &new, &[3, 1], &rename, Manner::default()).unwrap();
    assert!(found.stop.is_empty());
    assert_eq!(found.moved, [(0, 1), (1, 0)]);
    assert_eq!(found.bytes, [UP, UP | WANTED]);
    let restart = [Conversion { restart: true, ..rename[0] }];
    let found = compare(&old, &new, &[3, 1], &restart, Manner::default()).unwrap();
    assert_eq!(names(&old, &found.stop), ["a", "b"]);
    assert_eq!(found.bytes, [AGAIN, AGAIN | WANTED]);
}

#[test]
fn essential_services_stay_up_unless_they_may_stop() {
    let old = contents(&[("a", 1, &[]), ("*log", 2, &[0]), ("c", 3, &[1])], &[]);
    let new = contents(&[("a", 7, &[]), ("*log", 8, &[0]), ("c", 9, &[1])], &[]);
    let found = compare(&old, &new, &[1, 1, 1], &[], Manner::default()).unwrap();
    assert_eq!(names(&old, &found.stop), ["c"]);
    let all = Manner { essential: true, ..Manner::default() };
    assert_eq!(compare(&old, &new, &[1, 1, 1], &[], all).unwrap().stop.len(), 3);
    let without = contents(&[("a", 1, &[])], &[]);
    let lost = compare(&old, &without, &[1, 1, 1], &[], Manner::default());
    assert_eq!(lost, Err(EssentialLost(1)));
}

#[test]
fn what_is_on_its_way_goes_over_on_its_way() {
    let old = contents(&[("a", 1, &[]), ("!b", 2, &[])], &[]);
    let bytes = [STARTING | WANTED, STARTING | 0x80];
    let found = compare(&old, &old, &bytes, &[], Manner::default()).unwrap();
    assert!(found.stop.is_empty());
    assert_eq!(found.bytes, bytes);
}

#[test]
fn what_is_down_and_comes_back_is_not_waited_for() {
    let old = contents(&[("a", 1, &[]), ("b", 2, &[0]), ("gone", 3, &[])], &[]);
    let new = contents(&[("a", 9, &[]), ("b", 2, &[0])], &[]);
    let bytes = [AGAIN, UP | STOPPING | AGAIN | WANTED, AGAIN];
    let found = compare(&old, &new, &bytes, &[], Manner::default()).unwrap();
    assert!(found.busy);
    let bytes = [AGAIN, AGAIN | WANTED, AGAIN];
    let found = compare(&old, &new, &bytes, &[], Manner::default()).unwrap();
    assert!(!found.busy);
    assert_eq!(names(&old, &found.stop), ["a", "b", "gone"]);
    assert_eq!(names(&new, &found.start), ["a", "b"]);
    assert_eq!(found.bytes, [AGAIN, AGAIN | WANTED]);
}

fn controlled(mut contents: Contents, controller: Index, controls: &[Index]) -> Contents {
    contents.controllers.push(ControllerEntry {
        service: controller,
        kind: model::controller::Kind::Other,
        own: "kind other\n".into(),
        controls: (controls.iter())
            .map(|&service| ControlEntry { service, text: String::new() })
            .collect(),
    });
    contents
}

#[test]
fn what_waited_for_a_controlled_service_starts_once_that_is_nobody_s() {
    let plain = contents(
        &[("k", 1, &[]), ("l", 2, &[]), ("c", 3, &[]), ("d", 4, &[2]), ("e", 5, &[2])],
        &[],
    );
    let old = controlled(plain.clone(), 0, &[2]);
    // Nobody asked for e.
    let bytes = [UP | WANTED, 0, AWAITED, AWAITED, 0];
    let found = compare(&old, &plain, &bytes, &[], Manner::default()).unwrap();
    assert_eq!(names(&plain, &found.start), ["c", "d"]);
    assert!(found.stop.is_empty());

    // Another controller decides from now on; or the same one.
    for other in [controlled(plain.clone(), 1, &[2]), old.clone()] {
        let found = compare(&old, &other, &bytes, &[], Manner::default()).unwrap();
        assert_eq!((found.start.len(), found.bytes), (0, bytes.to_vec()));
    }
    // Only what it needs is controlled now, and that is up: so is what becomes controlled.
    let bytes = [UP | WANTED, 0, UP | AWAITED, AWAITED, UP | WANTED];
    let other = controlled(old.clone(), 1, &[4]);
    let found = compare(&old, &other, &bytes, &[], Manner::default()).unwrap();
    assert_eq!((found.start.len(), found.stop.len(), found.bytes), (0, 0, bytes.to_vec()));
}

#[test]
fn what_is_restarted_is_still_up_to_its_controller() {
    let old = controlled(contents(&[("k", 1, &[]), ("c", 2, &[])], &[]), 0, &[1]);
    let new = controlled(contents(&[("k", 9, &[]), ("c", 3, &[])], &[]), 0, &[1]);
    let bytes = [UP | WANTED, UP | WANTED | AWAITED];
    let found = compare(&old, &new, &bytes, &[], Manner::default()).unwrap();
    assert_eq!(names(&new, &found.start), ["k", "c"]);
    assert_eq!(found.bytes, [AGAIN | WANTED, AGAIN | WANTED | AWAITED]);
    // A controller that is restarted takes nothing along.
    let new = controlled(contents(&[("k", 9, &[]), ("c", 2, &[])], &[]), 0, &[1]);
    let found = compare(&old, &new, &bytes, &[], Manner::default()).unwrap();
    assert_eq!(names(&new, &found.start), ["k"]);
}
