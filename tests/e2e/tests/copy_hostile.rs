//! Senders that mean harm: nothing of what they say leaves the store, or stays in it.

use e2e::store::{Device, Talk};
use model::deploy::nar_hash::sha256;
use model::deploy::path_info::PathInfo;
use model::deploy::replace::Replacements;
use model::deploy::store_path::StorePath;
use model::deploy::transfer::{FromDevice, HEAD_BYTES, ToDevice, Way};

fn path(letter: &str, name: &str) -> StorePath {
    StorePath::parse(&format!("{}-{name}", letter.repeat(32))).expect("it is one")
}

/// Words as an archive has them.
fn archive(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [&b"nix-archive-1"[..]].iter().chain(words) {
        bytes.extend((word.len() as u64).to_le_bytes());
        bytes.extend(*word);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes
}

/// A folder with these entries: names, and the words of their nodes.
fn folder(entries: &[(&[u8], &[&[u8]])]) -> Vec<u8> {
    let mut words: Vec<&[u8]> = vec![b"(", b"type", b"directory"];
    for (name, node) in entries {
        words.extend([&b"entry"[..], b"(", b"name", name, b"node", b"("]);
        words.extend(*node);
        words.extend([&b")"[..], b")"]);
    }
    words.push(b")");
    archive(&words)
}

const FILE: &[&[u8]] = &[b"type", b"regular", b"contents", b"harm"];
const LINK: &[&[u8]] = &[b"type", b"symlink", b"target", b"../../../../outside"];

/// Bytes in a chunk of LZMA2 that is not compressed, and its end.
fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    for (at, piece) in bytes.chunks(60_000).enumerate() {
        packed.push(if at == 0 { 1 } else { 2 });
        packed.extend((piece.len() as u16 - 1).to_be_bytes());
        packed.extend(piece);
    }
    packed.push(0);
    packed
}

fn info(path: &StorePath, archive: &[u8]) -> PathInfo {
    PathInfo {
        path: path.clone(),
        hash: sha256(archive),
        size: archive.len() as u64,
        references: vec![],
        signatures: vec![],
    }
}

fn begin(device: &Device, relied: &[&StorePath]) -> Talk {
    let mut talk = device.talk();
    talk.greet();
    let paths = relied.iter().map(|path| (*path).clone()).collect();
    talk.say(&ToDevice::Rely { paths, is_last: true });
    talk
}

/// What the device says to a path that comes so.
fn sent(device: &Device, info: PathInfo, way: Way, data: &[u8]) -> Vec<FromDevice> {
    let mut talk = begin(device, &[&info.path]);
    talk.say(&ToDevice::Path { info, way });
    for piece in data.chunks(30_000) {
        talk.say(&ToDevice::Data(piece));
    }
    talk.say(&ToDevice::PathEnd);
    talk.say(&ToDevice::Commit);
    talk.say(&ToDevice::Bye);
    talk.end()
}

/// Nothing is left, anywhere.
fn is_clean(device: &Device, what: &str) {
    for name in device.names() {
        let known =
            ["nix", "nix/store", "nix/store/.incoming", "nix/var", "nix/var/doorward", "run"];
        let about = ["nix/var/doorward/info", "run/doorward", "run/doorward/leases"];
        let lock = name.ends_with(".lock");
        assert!(lock || known.contains(&&*name) || about.contains(&&*name), "{what}: {name}");
    }
    let outside = device.folder.join("outside");
    assert!(!outside.exists(), "{what}");
}

#[test]
fn archives_that_mean_harm_become_nothing() {
    let device = Device::new();
    let target = path("a", "target");
    for (what, archive) in [
        ("a name that leads out", folder(&[(b"..", FILE)])),
        ("a name that is no name", folder(&[(b".", FILE)])),
        ("a name with a slash", folder(&[(b"../../../outside", FILE)])),
        ("a name from the root", folder(&[(b"/outside", FILE)])),
        ("an empty name", folder(&[(b"", FILE)])),
        ("a name with a zero byte", folder(&[(b"a\0b", FILE)])),
        ("a link, and a file through it", folder(&[(b"a", LINK), (b"a", FILE)])),
        ("a link, and a file below it", folder(&[(b"a", LINK), (b"a/x", FILE)])),
        ("names out of order", folder(&[(b"b", FILE), (b"a", FILE)])),
        ("a device", folder(&[(b"a", &[b"type", b"device", b"major", b"1"])])),
        ("a fifo", folder(&[(b"a", &[b"type", b"fifo"])])),
        (
            "a setuid program",
            folder(&[(b"a", &[b"type", b"regular", b"setuid", b"", b"contents", b"x"])]),
        ),
        ("no archive", b"harm".to_vec()),
        ("something behind the end", [folder(&[]), b"harm".to_vec()].concat()),
    ] {
        let said =
            sent(&device, info(&target, &archive), Way::Whole { window: 4096 }, &packed(&archive));
        let again =
            said.iter().any(|it| matches!(it, FromDevice::Again { path, .. } if *path == target));
        assert!(again, "{what}: {said:?}");
        assert!(said.contains(&FromDevice::Done { paths: 0 }), "{what}: {said:?}");
        is_clean(&device, what);
    }
    // The same without harm is taken, so that it is the harm that was refused.
    let sound = folder(&[(b"a", FILE), (b"b", LINK)]);
    let said = sent(&device, info(&target, &sound), Way::Whole { window: 4096 }, &packed(&sound));
    assert_eq!(said, [FromDevice::Done { paths: 1 }]);
    assert_eq!(device.told(&["verify"]), "1 paths are whole\n");
}

#[test]
fn claims_that_are_not_true_are_found_out() {
    let device = Device::new();
    let (target, whole) = (path("a", "target"), Way::Whole { window: 4096 });
    let archive = folder(&[(b"a", FILE)]);
    let true_info = info(&target, &archive);
    let huge = archive_of_size(1 << 40);
    for (what, info, data) in [
        ("another hash", PathInfo { hash: sha256(b"x"), ..true_info.clone() }, packed(&archive)),
        ("more than was said", PathInfo { size: 100, ..true_info.clone() }, packed(&archive)),
        (
            "a file of a terabyte",
            PathInfo { size: huge.len() as u64 + 5, ..info(&target, &huge) },
            packed(&huge),
        ),
        ("cut off", true_info.clone(), packed(&archive)[..50].to_vec()),
        ("nothing", true_info.clone(), vec![]),
        ("not packed", true_info.clone(), archive.clone()),
        ("more behind it", true_info.clone(), [packed(&archive), vec![7]].concat()),
        (
            "a reference to what is not there",
            PathInfo { references: vec![path("b", "missing")], ..true_info.clone() },
            packed(&archive),
        ),
    ] {
        let said = sent(&device, info, whole.clone(), &data);
        assert!(matches!(&said[0], FromDevice::Again { .. }), "{what}: {said:?}");
        assert_eq!(said[1], FromDevice::Done { paths: 0 }, "{what}");
        is_clean(&device, what);
    }
    for (what, way) in [
        (
            "a base that is not there",
            Way::Replaced { base: path("c", "x"), replacements: Replacements::default() },
        ),
        (
            "a difference to what is not there",
            Way::Patched {
                base: path("c", "x"),
                replacements: Replacements::default(),
                window: 4096,
            },
        ),
    ] {
        // Open a file, and copy from it.
        let orders = [2, 9, b'.', b'.', b'/', b'.', b'.', b'/', b'.', b'.', b'/', 3, 0, 5];
        let data = if matches!(way, Way::Replaced { .. }) { vec![] } else { packed(&orders) };
        let said = sent(&device, true_info.clone(), way, &data);
        assert!(matches!(&said[0], FromDevice::Again { .. }), "{what}: {said:?}");
        is_clean(&device, what);
    }
}

/// An archive that says that a file of it has so many bytes, and ends there.
fn archive_of_size(size: u64) -> Vec<u8> {
    let mut bytes = archive(&[b"(", b"type", b"regular", b"contents"]);
    bytes.extend(size.to_le_bytes());
    bytes
}

#[test]
fn who_does_not_speak_the_language_is_told_and_hung_up_on() {
    let device = Device::new();
    let target = path("a", "target");
    let archive = folder(&[]);
    let good = ToDevice::Path { info: info(&target, &archive), way: Way::Whole { window: 4096 } };
    let rename = |name: &[u8; 6]| {
        let mut bytes = good.encode();
        let at = bytes.windows(6).position(|part| part == b"target").expect("it is there");
        bytes[at..at + 6].copy_from_slice(name);
        bytes
    };
    let hello = ToDevice::Hello { version: 1 }.encode();
    let mut large = vec![4];
    large.extend(u32::MAX.to_le_bytes());
    for (what, bytes) in [
        ("a store path that leads out", rename(b"../../")),
        ("a store path with a slash", rename(b"a/../b")),
        ("a message of four gigabytes", large),
        ("a message that nobody knows", vec![99, 0, 0, 0, 0]),
        ("hello twice", hello),
        ("data of nothing", ToDevice::Data(b"x").encode()),
        ("the end of nothing", ToDevice::PathEnd.encode()),
        ("a path that was not announced", {
            let info = info(&path("b", "other"), &archive);
            ToDevice::Path { info, way: Way::Whole { window: 4096 } }.encode()
        }),
        (
            "to keep what is not there",
            ToDevice::Keep { name: "x".into(), path: target.clone() }.encode(),
        ),
        ("a name of what is kept that leads out", {
            let mut bytes = ToDevice::Keep { name: "xxxx".into(), path: target.clone() }.encode();
            bytes[HEAD_BYTES + 2..HEAD_BYTES + 6].copy_from_slice(b"../x");
            bytes
        }),
    ] {
        let mut talk = begin(&device, &[&target]);
        talk.say_bytes(&bytes);
        let said = talk.end();
        assert!(matches!(&said[..], [FromDevice::Refused { .. }]), "{what}: {said:?}");
        is_clean(&device, what);
    }
    // Another language from the first word on.
    for bytes in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &ToDevice::Hello { version: 2 }.encode(), &good.encode()]
    {
        let mut talk = device.talk();
        talk.say_bytes(bytes);
        let said = talk.end();
        assert!(matches!(said.last(), Some(FromDevice::Refused { .. })), "{said:?}");
        is_clean(&device, "another language");
    }
    // And who only hangs up leaves nothing either.
    let mut talk = begin(&device, &[&target]);
    talk.say(&good);
    talk.say(&ToDevice::Data(&packed(&archive)));
    assert_eq!(talk.end(), []);
    is_clean(&device, "who hangs up");
}
