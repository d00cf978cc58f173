//! Every finding is provoked, alone.

use alloc::string::ToString;
use alloc::vec;

use super::*;

fn found(facts: &Facts) -> Vec<(Weight, &'static str)> {
    examine(facts).iter().map(|finding| (finding.weight, finding.code)).collect()
}

fn disk(kind: &str, bytes: u64, free: u64, nodes: u64, nodes_free: u64) -> Facts {
    let one = FileSystem { place: "/x".into(), kind: kind.into(), bytes, free, nodes, nodes_free };
    Facts { file_systems: vec![one], ..Facts::default() }
}

fn generations(change: impl FnOnce(&mut Generations)) -> Facts {
    let mut it = Generations {
        running: "/nix/store/a".into(),
        boot: "/nix/store/a".into(),
        signed: Some(true),
        keys: true,
        ..Generations::default()
    };
    change(&mut it);
    Facts { generations: Some(it), ..Facts::default() }
}

#[test]
fn a_well_device_has_no_findings_and_so_has_one_of_which_nothing_is_known() {
    assert_eq!(found(&Facts::default()), []);
    assert_eq!(found(&generations(|_| {})), []);
    let well = Facts {
        memory: Some((100, 50)),
        manager: Some(true),
        log: Some(true),
        clock: Some(1_800_000_000),
        kernels: Some(("6.1".into(), "6.1".into())),
        services: vec![Service { name: "a".into(), deaths: DEATHS - 1, ..Service::default() }],
        ..disk("ubifs", 100 << 20, 50 << 20, 100, 50)
    };
    assert_eq!(found(&well), []);
}

#[test]
fn each_finding_has_its_cause() {
    use Weight::*;
    let mib = 1 << 20;
    let service = |failed, deaths| Facts {
        services: vec![Service { name: "dns".into(), failed, deaths, restarts: 0 }],
        ..Facts::default()
    };
    let restarted = Service { name: "dns".into(), restarts: DEATHS, ..Service::default() };
    let table: Vec<(Facts, Weight, &str)> = vec![
        (disk("ubifs", 100 * mib, 9 * mib, 0, 0), Warning, "space"),
        (disk("tmpfs", 100 * mib, mib, 0, 0), Bad, "space"),
        (disk("ext4", 1 << 40, 0, 0, 0), Bad, "space"),
        (disk("ext4", 100 * mib, 50 * mib, 1000, 90), Warning, "inodes"),
        (disk("tmpfs", 100 * mib, 50 * mib, 1000, 0), Bad, "inodes"),
        (Facts { memory: Some((1000, 90)), ..Facts::default() }, Warning, "memory"),
        (Facts { memory: Some((1000, 9)), ..Facts::default() }, Bad, "memory"),
        (service(true, 0), Bad, "service"),
        (service(false, DEATHS), Warning, "restarts"),
        (Facts { services: vec![restarted], ..Facts::default() }, Warning, "restarts"),
        (Facts { stopped: vec!["dns".into()], ..Facts::default() }, Warning, "stopped"),
        (Facts { manager: Some(false), ..Facts::default() }, Bad, "manager"),
        (Facts { no_services: Some("gone".into()), ..Facts::default() }, Bad, "no-services"),
        (Facts { log: Some(false), ..Facts::default() }, Bad, "log"),
        (Facts { clock: Some(7), ..Facts::default() }, Warning, "clock"),
        (Facts { newer_ward: Some("/ward".into()), ..Facts::default() }, Warning, "init"),
        (Facts { database_is_old: true, ..Facts::default() }, Warning, "database"),
        (Facts { root_is_open: true, ..Facts::default() }, Bad, "password"),
        (Facts { watchdog_is_idle: true, ..Facts::default() }, Note, "watchdog"),
        (Facts { kernels: Some(("6.1".into(), "6.2".into())), ..Facts::default() }, Bad, "kernel"),
        (Facts { kernel_lacks: Some("quiet".into()), ..Facts::default() }, Warning, "command-line"),
        (
            Facts {
                maintenance: Some(("maintenance".into(), "`reboot`".into())),
                ..Facts::default()
            },
            Warning,
            "maintenance",
        ),
        (
            generations(|it| it.trial = Some(("generation 3".into(), "id".into()))),
            Warning,
            "unconfirmed",
        ),
        (generations(|it| it.boot = "/nix/store/b".into()), Warning, "unconfirmed"),
        (generations(|it| it.failed = Some(("3".into(), "no".into()))), Warning, "update-failed"),
        (generations(|it| it.signed = Some(false)), Warning, "unsigned"),
        (generations(|it| it.keys_damaged = Some("no text".into())), Bad, "keys"),
        (generations(|it| (it.keys, it.signed) = (false, None)), Note, "no-keys"),
    ];
    for (facts, weight, code) in &table {
        assert_eq!(found(facts), [(*weight, *code)], "{facts:?}");
        let all = examine(facts);
        assert!(!all[0].what.is_empty() && !all[0].cure.is_empty(), "{all:?}");
        assert_eq!(is_ill(&all), *weight != Note);
    }
}

#[test]
fn much_room_is_enough_and_read_only_sizes_of_zero_say_nothing() {
    assert_eq!(found(&disk("ext4", 1 << 40, 1 << 30, 0, 0)), []);
    assert_eq!(found(&disk("proc", 0, 0, 0, 0)), []);
}

#[test]
fn generations_are_blamed_only_where_their_store_lies() {
    let at = |place: &str, kind: &str| FileSystem {
        place: place.into(),
        kind: kind.into(),
        bytes: 1 << 20,
        ..FileSystem::default()
    };
    let table = [("/", false), ("/nix", true), ("/n", false), ("/persist", false), ("/run", false)];
    let file_systems = table.map(|(place, _)| at(place, "jffs2")).to_vec();
    let all = examine(&Facts { file_systems, ..Facts::default() });
    for ((place, holds), finding) in table.iter().zip(&all) {
        assert_eq!(finding.cure.contains("ward store collect"), *holds, "{place}: {finding:?}");
    }
    let all = examine(&Facts { file_systems: vec![at("/", "jffs2")], ..Facts::default() });
    assert!(all[0].cure.contains("ward store collect"), "{all:?}");
}

#[test]
fn the_worst_comes_first_and_odd_facts_are_no_end() {
    let facts = Facts {
        memory: Some((u64::MAX, u64::MAX)),
        clock: Some(0),
        root_is_open: true,
        services: vec![Service {
            name: "\0\u{1b}".to_string(),
            failed: true,
            deaths: usize::MAX,
            restarts: usize::MAX,
        }],
        kernels: Some((String::new(), String::new())),
        ..disk("", u64::MAX, 0, u64::MAX, u64::MAX)
    };
    let weights: Vec<Weight> = examine(&facts).iter().map(|it| it.weight).collect();
    assert!(weights.is_sorted_by(|a, b| a >= b) && weights.len() >= 5, "{weights:?}");
    // More is free than there is: nonsense, and nothing to be afraid of.
    assert_eq!(found(&disk("x", 1, u64::MAX, 1, u64::MAX)), []);
}
