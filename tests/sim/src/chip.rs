//! A pretend flash that fails on dice, and a story of one image that is written to it.

use engine::flash::write::{
    Block, Chip as Kind, Difference, Event, Order, Outcome, Part, Piece, Writer, difference,
};
use model::limits::BLOCK_TRIES_MAX;
use model::time::Moment;

use crate::dice::Dice;
use crate::laws::{Law, broken};

/// Bytes of a block, and of what is programmed at once.
pub const BLOCK: usize = 32;
const PAGE: usize = 8;

const EIO: u16 = 5;
const ERASED: u8 = 0xff;

/// What is wrong with a block for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weak {
    Sound,
    NoErase,
    NoWrite,
    /// This byte says what it wants, and nobody is told.
    Stuck(usize, u8),
}

/// How unkind the world is, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// An order fails once, and can be given again.
    pub failures: u32,
    /// Bits flip while they are read: some are mended.
    pub flips: u32,
}

pub struct Chip {
    pub kind: Kind,
    pub blocks: Vec<[u8; BLOCK]>,
    pub bad: Vec<bool>,
    pub weak: Vec<Weak>,
    /// A write was cut off here: nothing can be read until it is erased.
    torn: Vec<bool>,
    pub weather: Weather,
    /// The power goes with this change, counted from now.
    pub cut_in: Option<usize>,
}

/// What comes back of an order; nothing where the power went.
type Answer = Option<Event>;

const FAILED: Event = Event::Failed { errno: EIO, worn: true };

impl Chip {
    pub fn new(dice: &mut Dice, kind: Kind, blocks: usize) -> Self {
        let mut content = || {
            let byte = dice.throw() as u8;
            std::array::from_fn(|place| byte.wrapping_mul(place as u8 | 1))
        };
        Self {
            kind,
            blocks: (0..blocks).map(|_| content()).collect(),
            bad: vec![false; blocks],
            weak: vec![Weak::Sound; blocks],
            torn: vec![false; blocks],
            weather: Weather::default(),
            cut_in: None,
        }
    }

    /// What a boot loader reads of a block: a stuck byte says what it wants.
    pub fn reads(&self, block: usize) -> [u8; BLOCK] {
        let mut bytes = self.blocks[block];
        if let Weak::Stuck(place, byte) = self.weak[block] {
            bytes[place] = byte;
        }
        bytes
    }

    pub fn is_torn(&self, block: usize) -> bool {
        self.torn[block]
    }

    /// Whether the power goes now.
    fn is_cut(&mut self) -> bool {
        match &mut self.cut_in {
            Some(0) => true,
            Some(count) => {
                *count -= 1;
                false
            }
            None => false,
        }
    }

    fn compare(&mut self, dice: &mut Dice, block: usize, wanted: &[u8; BLOCK]) -> Event {
        let answer = |difference, corrected| Event::Compared { difference, corrected };
        if self.torn[block] {
            return answer(Difference::Unreadable, 0);
        }
        if dice.percent(self.weather.flips) {
            return match dice.below(3) {
                0 => answer(Difference::Unreadable, 0),
                1 => FAILED,
                _ => answer(difference(&self.reads(block), wanted), 1 + dice.below(3) as u32),
            };
        }
        answer(difference(&self.reads(block), wanted), 0)
    }

    fn erase(&mut self, dice: &mut Dice, block: usize) -> Answer {
        if self.is_cut() {
            for byte in &mut self.blocks[block] {
                if dice.percent(50) {
                    *byte = ERASED;
                }
            }
            self.torn[block] = self.kind.marks_bad && dice.percent(50);
            return None;
        }
        if self.weak[block] == Weak::NoErase || dice.percent(self.weather.failures) {
            self.blocks[block][..dice.below(BLOCK)].fill(ERASED);
            return Some(FAILED);
        }
        self.blocks[block] = [ERASED; BLOCK];
        self.torn[block] = false;
        Some(Event::Done)
    }

    fn write(&mut self, dice: &mut Dice, block: usize, bytes: &[u8; BLOCK]) -> Answer {
        let cut = self.is_cut();
        let fails = self.weak[block] == Weak::NoWrite || dice.percent(self.weather.failures);
        let upto = if cut || fails { dice.below(BLOCK) } else { BLOCK };
        for (cell, byte) in self.blocks[block].iter_mut().zip(bytes).take(upto) {
            // Only an erased one can become anything.
            *cell = if self.kind.erases { *cell & byte } else { *byte };
        }
        self.torn[block] |= (cut || fails) && self.kind.marks_bad && !upto.is_multiple_of(PAGE);
        match (cut, fails) {
            (true, _) => None,
            (_, true) => Some(FAILED),
            _ => Some(Event::Done),
        }
    }

    fn mark(&mut self, dice: &mut Dice, block: usize) -> Answer {
        let cut = self.is_cut();
        self.bad[block] |= !cut || dice.percent(50);
        (!cut).then_some(Event::Done)
    }
}

/// What is to be in the flash.
pub struct Image {
    pub parts: Vec<Part>,
    pub pieces: Vec<[u8; BLOCK]>,
}

impl Image {
    fn wanted(&self, piece: Option<Piece>) -> [u8; BLOCK] {
        piece.map_or([ERASED; BLOCK], |piece| self.pieces[piece as usize])
    }

    /// The block of a part that is not as it should be, if there is one.
    pub fn wrong_block(&self, chip: &Chip, part: &Part) -> Option<Block> {
        let mut placed = 0;
        for offset in 0..part.blocks {
            let block = (part.first + offset) as usize;
            if chip.bad[block] {
                continue;
            }
            let piece = (placed < part.pieces).then(|| part.piece + placed);
            if piece.is_none() && offset >= part.covers {
                return None;
            }
            placed += 1;
            if chip.reads(block) != self.wanted(piece) || chip.is_torn(block) {
                return Some(block as Block);
            }
        }
        (placed < part.pieces).then_some(part.first + part.blocks)
    }
}

/// Has a writer write the image, holds it to the laws, and says how it ended: nothing where the
/// power went.
pub fn play(dice: &mut Dice, chip: &mut Chip, image: &Image, dry: bool) -> Option<Outcome> {
    let has_room = |part: &Part| {
        let blocks = part.first as usize..(part.first + part.blocks) as usize;
        chip.bad[blocks].iter().filter(|bad| !**bad).count() >= part.pieces as usize
    };
    let tells_only = dry || !image.parts.iter().all(has_room);
    let mut writer = Writer::new(chip.kind, image.parts.clone(), dry);
    let total: u32 = image.parts.iter().map(|part| part.blocks).sum();
    // Each block is looked at, and tried so often with three orders, compared before, and marked.
    let orders_max = total * (3 + 3 * BLOCK_TRIES_MAX);
    let (mut orders, mut marks) = (0, 0);
    // Of the block that it is at: what it last was told, and how often it failed.
    let mut about = (Block::MAX, Difference::Same, 0);
    while let Some(order) = writer.order() {
        let now = Moment::from_nanos(u64::from(orders) * 1_000_000);
        orders += 1;
        if orders > orders_max {
            broken(Law::GivesUp, format!("{orders} orders for {total} blocks"));
        }
        let (Order::Look(block) | Order::Erase(block) | Order::Mark(block)) = order else {
            let (Order::Compare { block, .. } | Order::Write { block, .. }) = order else {
                unreachable!("the others are above");
            };
            inside(image, block);
            if about.0 != block {
                about = (block, Difference::Same, 0);
            }
            let answer = match order {
                Order::Compare { piece, .. } => {
                    Some(chip.compare(dice, block as usize, &image.wanted(piece)))
                }
                Order::Write { piece, erased, .. } => {
                    changes(image, chip, block, tells_only, about.1);
                    let bytes = image.wanted(Some(piece));
                    writes(chip, block as usize, &bytes, erased);
                    chip.write(dice, block as usize, &bytes)
                }
                _ => unreachable!("it is one of the two"),
            };
            let event = answer?;
            note(&mut about, &event, matches!(order, Order::Compare { .. }));
            writer.heard(now, event);
            continue;
        };
        inside(image, block);
        if about.0 != block {
            about = (block, Difference::Same, 0);
        }
        let answer = match order {
            Order::Look(_) => Some(Event::Looked { bad: chip.bad[block as usize] }),
            Order::Erase(_) => {
                changes(image, chip, block, tells_only, about.1);
                chip.erase(dice, block as usize)
            }
            _ => {
                changes(image, chip, block, tells_only, Difference::Other);
                marks += 1;
                let failures = about.2;
                if failures < BLOCK_TRIES_MAX || marks > total / 50 + 4 {
                    broken(Law::Marks, format!("block {block} failed {failures} times, {marks}"));
                }
                chip.mark(dice, block as usize)
            }
        };
        let event = answer?;
        note(&mut about, &event, false);
        writer.heard(now, event);
    }
    let outcome = writer.outcome();
    match outcome {
        Some(Outcome::Done) if !dry => {
            for part in &image.parts {
                if let Some(block) = image.wrong_block(chip, part) {
                    broken(Law::ReadsAsImage, format!("block {block} of {part:?}"));
                }
            }
        }
        None => broken(Law::GivesUp, "there is neither order nor outcome"),
        _ => {}
    }
    outcome
}

/// What was heard of a block.
fn note(about: &mut (Block, Difference, u32), event: &Event, compared: bool) {
    match event {
        Event::Compared { difference, .. } => {
            // One that differs before anything was tried has not failed.
            about.2 += u32::from(about.1 != Difference::Same && *difference != Difference::Same);
            about.1 = *difference;
        }
        Event::Failed { .. } => {
            about.2 += u32::from(!compared || about.1 != Difference::Same);
            about.1 = Difference::Unreadable;
        }
        _ => {}
    }
}

fn inside(image: &Image, block: Block) {
    let holds = |part: &Part| (part.first..part.first + part.blocks).contains(&block);
    if !image.parts.iter().any(holds) {
        broken(Law::Inside, format!("block {block} is in none of {:?}", image.parts));
    }
}

/// A block is about to change.
fn changes(image: &Image, chip: &Chip, block: Block, tells_only: bool, told: Difference) {
    if tells_only {
        broken(Law::Untouched, format!("block {block} changes"));
    }
    if chip.bad[block as usize] {
        broken(Law::Marks, format!("block {block} is bad, and used"));
    }
    if told == Difference::Same {
        broken(Law::NoWear, format!("block {block} is as it should be"));
    }
    let Some((last, others)) = image.parts.split_last() else { return };
    if (last.first..last.first + last.blocks).contains(&block)
        && let Some(wrong) = others.iter().find_map(|part| image.wrong_block(chip, part))
    {
        broken(Law::KernelLast, format!("block {block} changes before block {wrong}"));
    }
}

/// It must be erased where the flash says so.
fn writes(chip: &Chip, block: usize, bytes: &[u8; BLOCK], erased: bool) {
    if !chip.kind.erases {
        return;
    }
    let is_erased = chip.blocks[block] == [ERASED; BLOCK];
    let clears = difference(&chip.blocks[block], bytes) <= Difference::Clears;
    if !is_erased && (erased || !chip.kind.clears || !clears) {
        broken(Law::ErasedFirst, format!("block {block}"));
    }
}
