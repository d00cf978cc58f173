//! The difference between two files, as orders that make the newer one of the older.
//!
//! Places where both agree are found by a table of all pieces of the older file. From each one goes on as
//! long as at least half of the bytes agree: in programs, what is moved stays the same but for the addresses
//! in it, which differ by the same few bytes again and again.

use model::deploy::patch::Writer;

/// Bytes that are looked up at once.
const PIECE: usize = 12;
/// An agreement of fewer bytes costs more to say than it saves.
const AGREEMENT_MIN: usize = 20;
/// Places of the older file that are tried for one piece.
const TRIES: usize = 24;
/// Bytes over which at least half must agree.
const STRETCH: usize = 32;
/// Bytes that agree, from which on they are a copy of their own.
const COPY_MIN: usize = 32;

const NONE: u32 = u32::MAX;

/// Larger files have no table.
const BYTES_MAX: usize = 1 << 28;

/// Where pieces of the older file are.
struct Table<'a> {
    old: &'a [u8],
    first: Vec<u32>,
    next: Vec<u32>,
    bits: u32,
}

impl<'a> Table<'a> {
    fn new(old: &'a [u8]) -> Self {
        let bits = (usize::BITS - old.len().leading_zeros()).clamp(8, 24);
        let mut table =
            Self { old, first: vec![NONE; 1 << bits], next: vec![NONE; old.len()], bits };
        let end = (old.len() + 1).saturating_sub(PIECE);
        // The first places come first when it is looked up.
        for at in (0..end).rev() {
            let slot = table.slot(&old[at..]);
            table.next[at] = std::mem::replace(&mut table.first[slot], at as u32);
        }
        table
    }

    fn slot(&self, bytes: &[u8]) -> usize {
        let low = u64::from_le_bytes(bytes[..8].try_into().expect("a piece has 12 bytes"));
        let high = u32::from_le_bytes(bytes[8..12].try_into().expect("a piece has 12 bytes"));
        let mixed = (low ^ u64::from(high).rotate_left(40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> (64 - self.bits)) as usize
    }

    /// The longest agreement with the beginning of `new`: where, and how long.
    fn find(&self, new: &[u8]) -> Option<(usize, usize)> {
        if new.len() < PIECE {
            return None;
        }
        let mut best: Option<(usize, usize)> = None;
        let mut at = self.first[self.slot(new)];
        for _ in 0..TRIES {
            if at == NONE {
                break;
            }
            let place = at as usize;
            let length = agreement(&self.old[place..], new);
            if length >= AGREEMENT_MIN && best.is_none_or(|(_, longest)| length > longest) {
                best = Some((place, length));
            }
            at = self.next[place];
        }
        best
    }
}

/// How many bytes agree at the beginning of both.
fn agreement(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// A stretch of the newer file that lies in the older one from `old` on, more or less.
#[derive(Clone, Copy, Debug)]
struct Match {
    new: usize,
    old: usize,
    length: usize,
}

/// Orders how to make `new` of the file that was opened last, which holds `old`.
pub fn write(old: &[u8], new: &[u8], orders: &mut Writer) {
    if old.len() > BYTES_MAX || new.len() > BYTES_MAX {
        orders.insert(new);
        return;
    }
    let mut done = 0;
    for found in close_gaps(old, new, matches(old, new)) {
        orders.insert(&new[done..found.new]);
        put(old, new, found, orders);
        done = found.new + found.length;
    }
    orders.insert(&new[done..]);
}

fn matches(old: &[u8], new: &[u8]) -> Vec<Match> {
    let table = Table::new(old);
    let mut found: Vec<Match> = Vec::new();
    let mut at = 0;
    while at < new.len() {
        let Some((place, length)) = table.find(&new[at..]) else {
            at += 1;
            continue;
        };
        let length = length + go_on(&old[place + length..], &new[at + length..]);
        found.push(Match { new: at, old: place, length });
        at += length;
    }
    found
}

/// How far both go on agreeing, more or less: up to the last byte that agrees.
fn go_on(old: &[u8], new: &[u8]) -> usize {
    let most = old.len().min(new.len());
    let (mut good, mut at, mut agreeing, mut last) = (0, 0, 0_usize, 0);
    while at < most {
        let agrees = old[at] == new[at];
        agreeing += usize::from(agrees);
        at += 1;
        if agrees {
            last = at;
        }
        if at > STRETCH {
            agreeing -= usize::from(old[at - STRETCH - 1] == new[at - STRETCH - 1]);
        }
        if agreeing * 2 < at.min(STRETCH) && at >= 8 {
            break;
        }
        good = last;
    }
    good
}

/// Lets each stretch reach into what lies before it, as far as that pays.
fn close_gaps(old: &[u8], new: &[u8], found: Vec<Match>) -> Vec<Match> {
    let mut closed: Vec<Match> = Vec::new();
    for mut next in found {
        let begin = closed.last().map_or(0, |last| last.new + last.length);
        let most = (next.new - begin).min(next.old);
        let (mut score, mut best, mut back) = (0_isize, 0_isize, 0);
        for count in 1..=most {
            score += if old[next.old - count] == new[next.new - count] { 1 } else { -1 };
            if score > best {
                (best, back) = (score, count);
            }
            if score < best - STRETCH as isize {
                break;
            }
        }
        next.new -= back;
        next.old -= back;
        next.length += back;
        match closed.last_mut() {
            // It goes on as the one before it did.
            Some(last)
                if last.new + last.length == next.new && last.old + last.length == next.old =>
            {
                last.length += next.length;
            }
            _ => closed.push(next),
        }
    }
    closed
}

/// What agrees is copied; what nearly does is added to.
fn put(old: &[u8], new: &[u8], found: Match, orders: &mut Writer) {
    let (old_part, new_part) =
        (&old[found.old..found.old + found.length], &new[found.new..found.new + found.length]);
    let mut at = 0;
    let mut from = 0;
    while at < found.length {
        let same = agreement(&old_part[at..], &new_part[at..]);
        if same >= COPY_MIN || at + same == found.length && same > 0 && from == at {
            add(&old_part[from..at], &new_part[from..at], found.old + from, orders);
            orders.copy((found.old + at) as u64, same as u64);
            from = at + same;
        }
        at += same.max(1);
        if same > 0 && same < COPY_MIN && at < found.length && old_part[at] != new_part[at] {
            at += 1;
        }
    }
    add(&old_part[from..], &new_part[from..], found.old + from, orders);
}

fn add(old: &[u8], new: &[u8], offset: usize, orders: &mut Writer) {
    if !new.is_empty() {
        let difference: Vec<u8> =
            new.iter().zip(old).map(|(new, old)| new.wrapping_sub(*old)).collect();
        orders.add(offset as u64, &difference);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::deploy::patch::{Reader, Sink};
    use std::convert::Infallible;

    struct Made<'a> {
        old: &'a [u8],
        new: Vec<u8>,
    }

    impl Sink for Made<'_> {
        type Error = Infallible;
        fn insert(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
            self.new.extend(bytes);
            Ok(())
        }
        fn open(&mut self, _: &[u8]) -> Result<(), Infallible> {
            Ok(())
        }
        fn copy(&mut self, offset: u64, count: u64) -> Result<(), Infallible> {
            self.new.extend(&self.old[offset as usize..(offset + count) as usize]);
            Ok(())
        }
        fn add(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Infallible> {
            let old = &self.old[offset as usize..];
            self.new.extend(bytes.iter().zip(old).map(|(new, old)| new.wrapping_add(*old)));
            Ok(())
        }
    }

    /// Bytes of the orders, which must make `new`.
    fn cost(old: &[u8], new: &[u8]) -> usize {
        let mut orders = Writer::default();
        write(old, new, &mut orders);
        let orders = orders.into_bytes();
        let mut made = Made { old, new: Vec::new() };
        Reader::default().push(&orders, &mut made).expect("they can be obeyed");
        assert!(made.new == new, "another file comes out");
        orders.len()
    }

    fn noise(seed: u32, count: usize) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn the_newer_file_comes_out_and_little_changes_cost_little() {
        let old = noise(1, 100_000);
        assert!(cost(&old, &old) < 20);
        assert!(cost(&[], &old) < old.len() + 20);
        assert!(cost(&old, &[]) < 20);
        // Something in the middle, something less, and something moved.
        let mut new = old.clone();
        new.splice(50_000..50_000, *b"something new");
        new.drain(70_000..71_000);
        let moved: Vec<u8> = new.drain(10_000..20_000).collect();
        new.extend(moved);
        assert!(cost(&old, &new) < 150, "{}", cost(&old, &new));
        // Every eighth byte differs by one, as addresses do.
        let new: Vec<u8> = old
            .iter()
            .enumerate()
            .map(|(at, byte)| byte + u8::from(at % 8 == 0 && *byte < 255))
            .collect();
        let mut with_anchor = old[..40].to_vec();
        with_anchor.extend(&new[40..]);
        let mut orders = Writer::default();
        write(&old, &with_anchor, &mut orders);
        let differences = orders.into_bytes();
        let nonzero = differences.iter().filter(|byte| **byte > 1).count();
        assert!(nonzero < 100, "{nonzero} bytes that are not nearly nothing");
        assert_eq!(cost(&old, &with_anchor), differences.len());
    }

    #[test]
    fn whatever_the_files_are_the_newer_one_comes_out() {
        for seed in 0..200_u32 {
            let mut old = noise(seed, (seed as usize * 37) % 3000);
            let mut new = old.clone();
            for cut in 0..seed as usize % 7 {
                let place = (cut * 977 + seed as usize * 31) % (new.len() + 1);
                match cut % 3 {
                    0 => drop(new.splice(place..place, noise(seed + 9, cut * 20))),
                    1 => new.truncate(place.max(new.len() / 2)),
                    _ => new.iter_mut().skip(place).step_by(5).for_each(|byte| *byte ^= 3),
                }
            }
            if seed % 5 == 0 {
                old.iter_mut().for_each(|byte| *byte &= 3); // Much that is the same in many places.
            }
            cost(&old, &new);
        }
    }
}
