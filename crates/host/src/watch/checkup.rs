//! What is wrong with this machine as one that builds, and with a device as it says itself: from facts to
//! findings.

use engine::doctor::{Finding, Weight};
use serde_json::Value;

use super::questions::{Answer, Known, NO_WARD};

/// A program that something here needs.
pub struct Need {
    pub program: &'static str,
    /// What Debian calls its package.
    pub package: &'static str,
    pub weight: Weight,
    pub what_for: &'static str,
}

/// What is called by `doorward`.
pub const NEEDS: [Need; 5] = [
    Need {
        program: "nix-build",
        package: "nix-bin",
        weight: Weight::Bad,
        what_for: "nothing can be built",
    },
    Need {
        program: "ssh",
        package: "openssh-client",
        weight: Weight::Bad,
        what_for: "no device can be reached",
    },
    Need {
        program: "apt-get",
        package: "apt",
        weight: Weight::Warning,
        what_for: "the packages of builds cannot be fetched",
    },
    Need {
        program: "mksquashfs",
        package: "squashfs-tools",
        weight: Weight::Warning,
        what_for: "no image can be made",
    },
    Need {
        program: "qemu-system-x86_64",
        package: "qemu-system-x86",
        weight: Weight::Note,
        what_for: "there is no virtual router",
    },
];

/// What is known of this machine. `None`: that could not be found out.
#[derive(Clone, Debug, Default)]
pub struct Here {
    /// Programs of [`NEEDS`] that are not on the PATH.
    pub missing: Vec<&'static str>,
    /// Why the expressions that Nix reads are not found.
    pub expressions: Option<String>,
    /// The `ward` that goes into builds is not where it is looked for.
    pub ward_is_missing: Option<String>,
    /// Packages of the lock file that were not fetched, of how many.
    pub packages: Option<(usize, usize)>,
    /// Somebody can log in by a key: a file, or an agent that holds one.
    pub has_key: Option<bool>,
    /// Bytes that are free where the store is, and where.
    pub room: Option<(u64, String)>,
}

/// What is known of one device.
#[derive(Clone, Debug)]
pub struct Device {
    pub name: String,
    pub known: Known,
    /// The path that the configuration gives, or why it gives none.
    pub wanted: Option<Result<String, String>>,
    /// What says which configuration that is, as `doorward` takes it.
    pub words: String,
}

/// Less than this is little for a build.
const ROOM_MIN: u64 = 2 << 30;

/// Findings, the worst first.
pub fn examine(here: &Here, device: Option<&Device>) -> Vec<Finding> {
    let mut found = Vec::new();
    of_here(here, &mut found);
    // Who was let in has one, wherever ssh has found it.
    if device.is_some_and(|device| matches!(device.known, Known::Said(_))) {
        found.retain(|finding| finding.code != "ssh-key");
    }
    if let Some(device) = device {
        of_device(device, &mut found);
    }
    found.sort_by_key(|finding: &Finding| std::cmp::Reverse(finding.weight));
    found
}

fn add(found: &mut Vec<Finding>, weight: Weight, code: &'static str, what: String, cure: &str) {
    found.push(Finding { weight, code, what, cure: cure.to_owned() });
}

fn of_here(here: &Here, found: &mut Vec<Finding>) {
    for need in NEEDS.iter().filter(|need| here.missing.contains(&need.program)) {
        let what = format!("{} is missing: {}", need.program, need.what_for);
        let cure = format!("`./setup` installs it (Debian's package {})", need.package);
        add(found, need.weight, "program", what, &cure);
    }
    if let Some(why) = &here.expressions {
        let cure = "call it from the top of Doorward's sources, or `make install`";
        add(found, Weight::Bad, "expressions", why.clone(), cure);
    }
    if let Some(place) = &here.ward_is_missing {
        let what = format!("there is no `ward` to put on devices: {place}");
        add(found, Weight::Bad, "ward", what, "`make build` makes it");
    }
    if let Some((missing @ 1.., all)) = here.packages {
        let what = format!("{missing} of {all} packages that builds are made of are not here");
        let cure =
            "`doorward packages fetch` gets them; a build does so, too, and needs a network then";
        add(found, Weight::Note, "packages", what, cure);
    }
    if here.has_key == Some(false) {
        let what = "there is no key for ssh: devices let nobody in by password".to_owned();
        let cure = "`ssh-keygen -t ed25519`, and the .pub file into users.root.openssh.authorizedKeys.keys of the configuration";
        add(found, Weight::Warning, "ssh-key", what, cure);
    }
    if let Some((free, place)) = &here.room
        && *free < ROOM_MIN
    {
        let what = format!("{place} has {} MB left, which is little for a build", free / 1_000_000);
        add(
            found,
            Weight::Warning,
            "room",
            what,
            "`nix-collect-garbage` takes away what nothing needs any more",
        );
    }
}

fn of_device(device: &Device, found: &mut Vec<Finding>) {
    let Device { name, words, .. } = device;
    let rebuild = format!("`doorward rebuild {name}{words}`");
    let answer = match &device.known {
        Known::Asked => return,
        Known::Silent(why) => {
            let what = format!("{name}: {why}");
            let cure = match why == NO_WARD {
                true => "is it the right one? `doorward build` makes an image that has one: docs/guide/reinstall.md".into(),
                false => format!(
                    "`ssh {name} true` says more; is it on, and is the key in its configuration?"
                ),
            };
            return add(found, Weight::Bad, "device", what, &cure);
        }
        Known::Said(answer) => answer,
    };
    let Answer { generation, doctor, version, services, .. } = &**answer;
    match doctor.as_ref().and_then(Value::as_array) {
        Some(all) => found.extend(all.iter().filter_map(|value| theirs(name, value))),
        None if services.is_some() => {
            let what = format!("{name} has a `ward` that has no doctor");
            add(found, Weight::Note, "old-ward", what, &format!("{rebuild} brings a newer one"));
        }
        None => {
            let what = format!("{name} does not say how it is");
            add(found, Weight::Bad, "device", what, &format!("`ssh {name} ward status` says why"));
        }
    }
    let own = env!("CARGO_PKG_VERSION");
    if let Some(version) = version.as_ref().filter(|version| *version != own) {
        let what = format!("{name} has ward {version}, and this is doorward {own}");
        let cure = format!("{rebuild} brings both together");
        add(found, Weight::Warning, "version", what, &cure);
    }
    let running = generation.as_ref().and_then(|it| it["running"]["path"].as_str());
    match (&device.wanted, running) {
        (Some(Err(why)), _) => {
            let what = format!("the configuration gives nothing: {why}");
            add(
                found,
                Weight::Bad,
                "configuration",
                what,
                &format!("`doorward build{words}` says more"),
            );
        }
        (Some(Ok(wanted)), Some(running)) if wanted != running => {
            let what = format!("{name} runs {running}, and the configuration gives {wanted}");
            let cure =
                format!("{rebuild} brings it over; with --dry-run it only says what would change");
            add(found, Weight::Warning, "out-of-date", what, &cure);
        }
        _ => {}
    }
}

/// A finding of the device's own doctor.
fn theirs(name: &str, value: &Value) -> Option<Finding> {
    let weight = [Weight::Note, Weight::Warning, Weight::Bad];
    let weight = weight.into_iter().find(|weight| value["weight"] == weight.name())?;
    let plain = |field: &str| -> Option<String> {
        Some(value[field].as_str()?.chars().filter(|c| !c.is_control()).collect())
    };
    // A code of a later release is none that this one knows: what it says counts.
    let known = [
        "space",
        "inodes",
        "memory",
        "service",
        "restarts",
        "stopped",
        "manager",
        "no-services",
        "log",
        "clock",
        "init",
        "database",
        "password",
        "watchdog",
        "kernel",
        "maintenance",
        "unconfirmed",
        "update-failed",
        "unsigned",
        "keys",
        "no-keys",
    ];
    let code = known.into_iter().find(|code| value["code"] == *code).unwrap_or("other");
    Some(Finding {
        weight,
        code,
        what: format!("{name}: {}", plain("what")?),
        cure: plain("cure")?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(here: &Here, device: Option<&Device>) -> Vec<(Weight, &'static str)> {
        examine(here, device).iter().map(|finding| (finding.weight, finding.code)).collect()
    }

    fn well() -> Here {
        Here {
            has_key: Some(true),
            packages: Some((0, 60)),
            room: Some((1 << 40, "/nix".into())),
            ..Here::default()
        }
    }

    fn device(change: impl FnOnce(&mut Answer)) -> Device {
        let mut answer = Answer {
            services: Some(json!([])),
            doctor: Some(json!([])),
            version: Some(env!("CARGO_PKG_VERSION").into()),
            generation: Some(json!({ "running": { "path": "/nix/store/a" } })),
            uptime: None,
        };
        change(&mut answer);
        let known = Known::Said(Box::new(answer));
        let wanted = Some(Ok("/nix/store/a".into()));
        Device { name: "router".into(), known, wanted, words: " -c a.nix".into() }
    }

    #[test]
    fn where_all_is_well_nothing_is_found() {
        assert_eq!(found(&well(), None), []);
        assert_eq!(found(&Here::default(), None), []);
        assert_eq!(found(&well(), Some(&device(|_| {}))), []);
    }

    #[test]
    fn each_finding_of_this_machine_has_its_cause() {
        use Weight::*;
        for need in &NEEDS {
            let here = Here { missing: vec![need.program], ..well() };
            assert_eq!(found(&here, None), [(need.weight, "program")], "{}", need.program);
            assert!(examine(&here, None)[0].cure.contains(need.package));
        }
        let table = [
            (Here { expressions: Some("no".into()), ..well() }, Bad, "expressions"),
            (Here { ward_is_missing: Some("/x".into()), ..well() }, Bad, "ward"),
            (Here { packages: Some((1, 60)), ..well() }, Note, "packages"),
            (Here { has_key: Some(false), ..well() }, Warning, "ssh-key"),
            (Here { room: Some((5, "/nix".into())), ..well() }, Warning, "room"),
        ];
        for (here, weight, code) in &table {
            assert_eq!(found(here, None), [(*weight, *code)], "{here:?}");
        }
    }

    #[test]
    fn each_finding_of_a_device_has_its_cause() {
        use Weight::*;
        let no_ward = Device { known: Known::Silent(NO_WARD.into()), ..device(|_| {}) };
        assert!(!examine(&well(), Some(&no_ward))[0].cure.contains("ssh"));
        let keyless = Here { has_key: Some(false), ..well() };
        assert_eq!(found(&keyless, Some(&device(|_| {}))), [], "it was let in");
        let silent = Device { known: Known::Silent("cannot be reached".into()), ..device(|_| {}) };
        let broken = Device { wanted: Some(Err("no such file".into())), ..device(|_| {}) };
        let other = Device { wanted: Some(Ok("/nix/store/b".into())), ..device(|_| {}) };
        let full = json!([
            { "weight": "bad", "code": "space", "what": "/ is full\u{1b}", "cure": "free it" },
            { "weight": "note", "code": "of tomorrow", "what": "x", "cure": "y" },
            { "weight": "odd", "code": "space", "what": "x", "cure": "y" },
            null, 7, { "weight": "bad" }
        ]);
        assert!(
            examine(&well(), Some(&other))[0].cure.contains("`doorward rebuild router -c a.nix`")
        );
        let table = [
            (silent, vec![(Bad, "device")]),
            (broken, vec![(Bad, "configuration")]),
            (other, vec![(Warning, "out-of-date")]),
            (device(|it| it.version = Some("0.0.1".into())), vec![(Warning, "version")]),
            (device(|it| it.doctor = None), vec![(Note, "old-ward")]),
            (device(|it| (it.doctor, it.services) = (None, None)), vec![(Bad, "device")]),
            (device(|it| it.doctor = Some(full)), vec![(Bad, "space"), (Note, "other")]),
        ];
        for (device, expected) in &table {
            assert_eq!(found(&well(), Some(device)), *expected, "{device:?}");
        }
        let all = examine(&well(), Some(&table[6].0));
        assert_eq!((all[0].what.as_str(), all[0].cure.as_str()), ("router: / is full", "free it"));
    }
}
