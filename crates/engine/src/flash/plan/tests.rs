//! Where parts go, and what is refused.

use model::digest::Digest;
use model::flash::manifest;

use super::*;

const BLOCK: u64 = 4096;

fn target() -> Target {
    let inside = |name: &str, offset, blocks| Inside {
        name: name.into(),
        offset: offset * BLOCK,
        bytes: blocks * BLOCK,
    };
    Target {
        name: "firmware".into(),
        bytes: 20 * BLOCK,
        erase_bytes: BLOCK as u32,
        inside: vec![inside("kernel", 0, 8), inside("rootfs", 10, 8), inside("else", 3, 1)],
    }
}

fn image() -> Manifest {
    let part = |name: &str, offset, blocks, bytes, rest_erased| manifest::Part {
        name: name.into(),
        offset: offset * BLOCK,
        size: blocks * BLOCK,
        bytes,
        digest: Digest([0; 32]),
        rest_erased,
    };
    Manifest {
        device: "router".into(),
        generation: String::new(),
        partition: "firmware".into(),
        size: 20 * BLOCK,
        erase_bytes: BLOCK as u32,
        bytes: 13 * BLOCK,
        parts: vec![
            part("kernel", 0, 8, 2 * BLOCK + 1, false),
            part("rootfs", 10, 8, 3 * BLOCK, true),
        ],
        signature: None,
    }
}

#[test]
fn the_kernel_is_last_and_every_block_of_the_image_is_planned_for() {
    let part = |first, blocks, pieces, covers| Part { first, blocks, piece: first, pieces, covers };
    let plan = parts(&image(), Some("router"), &target(), false);
    assert_eq!(plan, Ok(vec![part(8, 2, 0, 2), part(10, 8, 3, 8), part(0, 8, 3, 8)]));
    let mut plain = image();
    plain.parts[1].rest_erased = false;
    let plan = parts(&plain, None, &target(), false);
    assert_eq!(plan, Ok(vec![part(8, 2, 0, 2), part(10, 8, 3, 3), part(0, 8, 3, 8)]));
    let plan = parts(&plain, None, &target(), true);
    let expected = vec![part(8, 2, 0, 2), part(10, 8, 3, 8), part(18, 2, 0, 2), part(0, 8, 3, 8)];
    assert_eq!(plan, Ok(expected));
}

#[test]
fn an_image_for_something_else_is_refused() {
    let refused = |image: &Manifest, device, target: &Target| {
        parts(image, device, target, false).expect_err("it does not fit")
    };
    let other = |change: fn(&mut Target)| {
        let mut target = target();
        change(&mut target);
        refused(&image(), None, &target)
    };
    let found = refused(&image(), Some("other"), &target());
    assert_eq!(found, Mismatch::OtherDevice { image: "router".into(), device: "other".into() });
    let found = other(|it| it.name = "rootfs".into());
    assert_eq!(found, Mismatch::OtherPartition { image: "firmware".into() });
    let found = other(|it| it.bytes = 12 * BLOCK);
    assert_eq!(found, Mismatch::TooLarge { bytes: 13 * BLOCK, room: 12 * BLOCK });
    let found = other(|it| it.bytes = 19 * BLOCK);
    assert_eq!(found, Mismatch::OtherSize { image: 20 * BLOCK, device: 19 * BLOCK });
    let found = other(|it| it.erase_bytes *= 4);
    assert_eq!(found, Mismatch::OtherBlocks { image: 4096, device: 16384 });
    let found = other(|it| it.inside[1].offset -= BLOCK);
    let (image, device) = ((10 * BLOCK, 8 * BLOCK), (9 * BLOCK, 8 * BLOCK));
    assert_eq!(found, Mismatch::OtherPlace { name: "rootfs".into(), image, device });
    assert_eq!(other(|it| it.erase_bytes = 0), Mismatch::Impossible);
}

#[test]
fn an_image_that_says_nothing_goes_to_the_beginning() {
    let part = |pieces, covers| Part { first: 0, blocks: 20, piece: 0, pieces, covers };
    assert_eq!(whole(BLOCK + 1, &target(), false), Ok(vec![part(2, 2)]));
    assert_eq!(whole(20 * BLOCK, &target(), true), Ok(vec![part(20, 20)]));
    assert_eq!(whole(1, &target(), true), Ok(vec![part(1, 20)]));
    assert_eq!(whole(0, &target(), true), Err(Mismatch::Empty));
    let bytes = 20 * BLOCK + 1;
    assert_eq!(whole(bytes, &target(), false), Err(Mismatch::TooLarge { bytes, room: 20 * BLOCK }));
}
