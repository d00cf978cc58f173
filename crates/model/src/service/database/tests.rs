//! Databases read back, and damage is found.

use super::*;
use alloc::vec;

fn sample() -> Contents {
    let service = |name: &str, needs: Vec<Index>, kind| ServiceEntry {
        name: name.into(),
        essential: name == "log",
        recommended: false,
        timeout_up: Duration::from_millis(20_000),
        timeout_down: Duration::ZERO,
        needs,
        digest: 0x1234_5678_9abc_def0,
        outputs_owner: (name != "log").then(|| "dnsmasq".into()),
        kind,
    };
    let words = |text: &str| text.split(' ').map(|w| w.as_bytes().into()).collect();
    Contents {
        services: vec![
            service(
                "dns",
                vec![1, 2],
                Kind::Longrun(Longrun {
                    notification_fd: Some(3),
                    consumer: Some(1),
                    has_finish: true,
                    ..Longrun::default()
                }),
            ),
            service(
                "log",
                vec![],
                Kind::Longrun(Longrun { has_producers: true, ..Longrun::default() }),
            ),
            service(
                "lan",
                vec![],
                Kind::Oneshot(Oneshot {
                    up: words("ip link set lan up"),
                    down: vec![],
                    reload: Some(words("true")),
                }),
            ),
        ],
        bundles: vec![BundleEntry {
            name: "default".into(),
            essential: false,
            recommended: true,
            contents: vec![0, 2],
        }],
        controllers: vec![ControllerEntry {
            service: 1,
            kind: ControllerKind::Hotplug,
            own: "kind hotplug\n".into(),
            controls: vec![ControlEntry { service: 2, text: "match subsystem=net".into() }],
        }],
        reactions: vec![ReactionEntry { user: 0, need: 2, reaction: Reaction::Restart }],
    }
}

#[test]
fn what_was_encoded_reads_back() {
    let contents = sample();
    let bytes = contents.encode();
    let database = Database::open(&bytes).unwrap();
    assert_eq!(database.contents(), contents);
    assert_eq!(database.longruns(), 2);
    assert_eq!(database.find("lan"), Some(Entry::Service(2)));
    assert_eq!(database.find("default"), Some(Entry::Bundle(0)));
    assert_eq!(database.find("wan"), None);
    let needed_by: Vec<_> = database.service(2).needed_by().collect();
    assert_eq!(needed_by, [0]);
    let names: Vec<_> = database.names().collect();
    assert_eq!(names, ["default", "dns", "lan", "log"]);
    let lan = database.service(2);
    assert_eq!(lan.started_by(), Some(1));
    let controllers: Vec<_> = lan.controlled_by().map(|by| by.service().name()).collect();
    assert_eq!((controllers, lan.controller().is_none()), (vec!["log"], true));
    let log = database.service(1);
    let controls: Vec<_> = log.controls().collect();
    assert_eq!((controls, log.started_by()), (vec![(2, "match subsystem=net")], None));
}

#[test]
fn no_damaged_byte_goes_unnoticed() {
    let good = sample().encode();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        assert!(Database::open(&bad).is_err(), "byte {at}");
        assert!(Database::open(&good[..at]).is_err(), "cut at {at}");
    }
    let mut long = good;
    long.push(0);
    assert_eq!(Database::open(&long).err(), Some(DatabaseError::Length));
}
