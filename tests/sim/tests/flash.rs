//! Images written to flashes that fail on dice: bad blocks, flipped bits, failures once and for
//! good, and power cuts in the midst of it.

use engine::flash::write::{Chip as Kind, Outcome, Part};
use sim::chip::{BLOCK, Chip, Image, Weak, Weather, play};
use sim::dice::{Dice, seeds};
use sim::laws::{Law, broken};

const NOR: Kind = Kind { erases: true, clears: true, marks_bad: false };
const NOR_WITH_ECC: Kind = Kind { erases: true, clears: false, marks_bad: false };
const NAND: Kind = Kind { erases: true, clears: false, marks_bad: true };
const MEMORY: Kind = Kind { erases: false, clears: true, marks_bad: false };
const KINDS: [Kind; 4] = [NOR, NOR_WITH_ECC, NAND, MEMORY];

/// One to four parts, with something before, between and behind them.
fn parts(dice: &mut Dice) -> (Vec<Part>, usize) {
    let (mut first, mut piece, mut parts) = (dice.below(4) as u32, 0, Vec::new());
    for _ in 0..1 + dice.below(4) {
        let blocks = 1 + dice.below(14) as u32;
        let pieces = dice.below(blocks as usize + 1) as u32;
        let covers = match dice.below(3) {
            0 => pieces,
            1 => blocks,
            _ => dice.below(blocks as usize + 1) as u32,
        };
        parts.push(Part { first, blocks, piece, pieces, covers });
        piece += pieces;
        first += blocks + dice.below(3) as u32;
    }
    (parts, first as usize + dice.below(4))
}

/// An image that is in part the same as what lies there, in part only clears bits.
fn image(dice: &mut Dice, chip: &Chip, parts: Vec<Part>) -> Image {
    let mut pieces = Vec::new();
    for part in &parts {
        for number in 0..part.pieces {
            let there = chip.blocks[(part.first + number) as usize];
            let noise = dice.throw();
            pieces.push(match dice.below(5) {
                0 => [0xff; BLOCK],
                1 => there.map(|byte| byte & noise as u8),
                2 => std::array::from_fn(|place| (noise >> (place % 57)) as u8),
                _ => there,
            });
        }
    }
    Image { parts, pieces }
}

/// Some blocks are bad from the beginning, others do what they should not.
fn spoil(dice: &mut Dice, chip: &mut Chip) {
    let (bad, weak) = (dice.below(15) as u32, dice.below(12) as u32);
    for block in 0..chip.blocks.len() {
        chip.bad[block] = chip.kind.marks_bad && dice.percent(bad);
        if dice.percent(weak) {
            chip.weak[block] = match dice.below(3) {
                0 => Weak::NoErase,
                1 => Weak::NoWrite,
                _ => Weak::Stuck(dice.below(BLOCK), dice.throw() as u8),
            };
        }
    }
}

/// Whether the flash can hold the image, as far as can be told without trying.
fn can_hold(chip: &Chip, image: &Image) -> bool {
    let weak = |block: u32| chip.weak[block as usize] != Weak::Sound;
    let bad = |block: u32| chip.bad[block as usize];
    let blocks = |part: &Part| part.first..part.first + part.blocks;
    let all: Vec<u32> = image.parts.iter().flat_map(blocks).collect();
    let weak_count = all.iter().filter(|block| weak(**block) && !bad(**block)).count();
    match chip.kind.marks_bad {
        false => weak_count == 0,
        true => {
            let sound = |part: &Part| blocks(part).filter(|it| !weak(*it) && !bad(*it)).count();
            weak_count <= 4 + all.len() / 50
                && image.parts.iter().all(|part| sound(part) >= part.pieces as usize)
        }
    }
}

#[test]
fn an_image_is_written_or_it_is_said_that_it_is_not_and_the_next_run_goes_on() {
    let (mut done, mut cut, mut failed, mut refused) = (0, 0, 0, 0);
    for seed in seeds(20_000) {
        let mut dice = Dice::new(seed);
        let kind = KINDS[dice.below(KINDS.len())];
        let (parts, blocks) = parts(&mut dice);
        let mut chip = Chip::new(&mut dice, kind, blocks);
        let image = image(&mut dice, &chip, parts);
        if dice.percent(70) {
            spoil(&mut dice, &mut chip);
        }
        // Without a failure at all everything must be written at once.
        if dice.percent(70) {
            let (failures, flips) = (dice.below(20) as u32, dice.below(15) as u32);
            chip.weather = Weather { failures, flips };
        }
        let storm = dice.below(4);
        for _ in 0..storm {
            chip.cut_in = dice.percent(80).then(|| dice.below(30));
            match play(&mut dice, &mut chip, &image, false) {
                None => cut += 1,
                Some(Outcome::Failed { .. }) => failed += 1,
                Some(Outcome::NoRoom { .. }) => refused += 1,
                Some(_) => done += 1,
            }
        }
        chip.weather = Weather::default();
        chip.cut_in = None;
        let possible = can_hold(&chip, &image);
        let outcome = play(&mut dice, &mut chip, &image, false);
        if possible && outcome != Some(Outcome::Done) {
            broken(Law::GoesOn, format!("{outcome:?}: {kind:?} {:?}", image.parts));
        }
        // What is written is written: another run has nothing to do.
        if outcome == Some(Outcome::Done) {
            let before = chip.blocks.clone();
            play(&mut dice, &mut chip, &image, false);
            if before != chip.blocks {
                broken(Law::NoWear, "a second run has changed something");
            }
        }
    }
    if std::env::var_os("SEED").is_none() {
        // The dice show all of it, or this would show little.
        assert!(done > 2_000 && cut > 2_000 && failed > 1_000 && refused > 200);
    }
}

#[test]
fn a_dry_run_changes_nothing() {
    for seed in seeds(2_000) {
        let mut dice = Dice::new(seed);
        let kind = KINDS[dice.below(KINDS.len())];
        let (parts, blocks) = parts(&mut dice);
        let mut chip = Chip::new(&mut dice, kind, blocks);
        let image = image(&mut dice, &chip, parts);
        spoil(&mut dice, &mut chip);
        play(&mut dice, &mut chip, &image, true);
    }
}
