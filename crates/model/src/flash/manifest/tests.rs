//! Manifests written and read, damaged and impossible.

use alloc::vec;

use super::*;

const ERASE: usize = 4096;

/// Kernel and root file system, with a gap between, and the file of both.
fn example() -> (Manifest, Vec<u8>) {
    let mut image = vec![0xff; 6 * ERASE];
    let part = |name: &str, offset: usize, size: usize, bytes: &[u8], rest_erased| Part {
        name: name.into(),
        offset: (offset * ERASE) as u64,
        size: (size * ERASE) as u64,
        bytes: bytes.len() as u64,
        digest: Digest::of(bytes),
        rest_erased,
    };
    let (kernel, root) = (vec![7; 5000], vec![9; 2 * ERASE]);
    image[..kernel.len()].copy_from_slice(&kernel);
    image[4 * ERASE..].copy_from_slice(&root);
    let manifest = Manifest {
        device: "QEMU, x86_64".into(),
        generation: "/nix/store/x-system".into(),
        partition: "firmware".into(),
        size: (10 * ERASE) as u64,
        erase_bytes: ERASE as u32,
        bytes: image.len() as u64,
        parts: vec![part("kernel", 0, 4, &kernel, false), part("rootfs", 4, 6, &root, true)],
        signature: None,
    };
    image.extend(manifest.trailer().expect("a manifest as it should be"));
    (manifest, image)
}

fn check(manifest: &Manifest, image: &[u8], piece: usize) -> Result<(), Damage> {
    let mut checker = Checker::new(manifest);
    image.chunks(piece).try_for_each(|piece| checker.update(piece))?;
    checker.finish()
}

#[test]
fn what_is_written_is_read_again() {
    let (manifest, file) = example();
    assert_eq!(file.len() % ERASE, 0, "whole blocks");
    assert_eq!(Manifest::of_file(&file), Ok(Some(manifest.clone())));
    let signed = Manifest {
        signature: Some(Signature { key: [3; 32], bytes: [4; 64] }),
        ..manifest.clone()
    };
    let mut file = file[..6 * ERASE].to_vec();
    file.extend(signed.trailer().expect("as it should be"));
    assert_eq!(Manifest::of_file(&file), Ok(Some(signed.clone())));
    assert_eq!(signed.signed_bytes(), manifest.signed_bytes(), "a signature does not sign itself");
}

#[test]
fn a_file_without_one_has_none() {
    for file in [&b""[..], b"short", &[0xff; 100], &[0; 8192]] {
        assert_eq!(Manifest::of_file(file), Ok(None));
    }
}

#[test]
fn every_bit_of_manifest_and_footer_counts() {
    let (manifest, file) = example();
    let body = 6 * ERASE + NODE_BYTES;
    let body = body..body + manifest.unsigned().len() + 1;
    for place in body.chain(file.len() - FOOTER_BYTES..file.len()) {
        let mut changed = file.clone();
        changed[place] ^= 0x10;
        // Without its name it is no longer seen at all.
        let unseen = place >= file.len() - MAGIC.len();
        match Manifest::of_file(&changed) {
            Ok(None) if unseen => {}
            Err(_) if !unseen => {}
            other => panic!("byte {place}: {other:?}"),
        }
    }
}

#[test]
fn an_image_of_another_length_is_refused() {
    let (_, file) = example();
    for changed in [file[ERASE..].to_vec(), [&file[..ERASE], &file].concat()] {
        let found = Manifest::of_file(&changed);
        assert!(matches!(found, Err(ManifestError::Length { .. })), "{found:?}");
    }
}

#[test]
fn every_byte_of_an_image_counts() {
    let (manifest, file) = example();
    let image = &file[..6 * ERASE];
    for piece in [1, 7, 4096, 100_000] {
        assert_eq!(check(&manifest, image, piece), Ok(()));
    }
    for (place, damage) in [
        (0, Damage::Part("kernel".into())),
        (4999, Damage::Part("kernel".into())),
        (5000, Damage::Between(5000)),
        (4 * ERASE - 1, Damage::Between(4 * ERASE as u64 - 1)),
        (4 * ERASE, Damage::Part("rootfs".into())),
        (6 * ERASE - 1, Damage::Part("rootfs".into())),
    ] {
        let mut changed = image.to_vec();
        changed[place] ^= 1;
        assert_eq!(check(&manifest, &changed, 999), Err(damage), "byte {place}");
    }
    let short = check(&manifest, &image[..5 * ERASE], 4096);
    assert_eq!(short, Err(Damage::Short(5 * ERASE as u64)));
    assert_eq!(check(&manifest, &file, 4096), Err(Damage::Long));
}

#[test]
fn what_cannot_be_is_not_written_and_not_read() {
    let (good, _) = example();
    type Change = fn(&mut Manifest);
    let cases: [(&str, Change); 12] = [
        ("the name of the device", |it| it.device.clear()),
        ("the name of the device", |it| it.device = "a\nb".into()),
        ("the name of the partition", |it| it.partition = "x".repeat(64)),
        ("the size of a block", |it| it.erase_bytes = 0),
        ("its size", |it| it.bytes += 1),
        ("its size", |it| it.size = 5 * ERASE as u64),
        ("how many parts there are", |it| it.parts.clear()),
        ("a part that is not in its partition", |it| it.parts[1].size = 7 * ERASE as u64),
        ("a part that is not in its partition", |it| it.parts[1].offset = u64::MAX),
        ("where a part begins or ends", |it| it.parts.reverse()),
        ("the size of a part", |it| it.parts[1].bytes = 5 * ERASE as u64),
        ("the size of a part", |it| it.parts[0].bytes = 5 * ERASE as u64),
    ];
    for (what, change) in cases {
        let mut manifest = good.clone();
        change(&mut manifest);
        assert_eq!(manifest.trailer(), Err(ManifestError::Impossible(what)));
    }
}

#[test]
fn jffs2_passes_over_the_whole_trailer() {
    let (_, file) = example();
    let node = &file[6 * ERASE..][..NODE_BYTES];
    assert_eq!(node[..8], [0x85, 0x19, 0x04, 0x20, 0x00, 0x10, 0x00, 0x00]);
    // Bit by bit, as Linux `lib/crc32.c` has it.
    let bit = |sum: u32| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
    let sum = node[..8].iter().fold(0, |sum, b| (0..8).fold(sum ^ u32::from(*b), |s, _| bit(s)));
    assert_eq!(node[8..], sum.to_le_bytes());
}
