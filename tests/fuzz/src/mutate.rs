//! Changes input on dice, as libFuzzer does, without looking where it leads:
//! for machines that have no C++ compiler to build libFuzzer with.

use sim::dice::Dice;

/// Bytes that one input may have.
const BYTES_MAX: usize = 65_536;

/// Numbers that stand at borders.
const BORDERS: [u32; 12] =
    [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_fffe, 0xffff_ffff];

/// One of `corpus`, changed in a few places.
pub fn changed(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = dice.pick(corpus).cloned().unwrap_or_default();
    for _ in 0..1 + dice.below(6) {
        let at = dice.below(bytes.len() + 1);
        let end = (at + dice.below(16)).min(bytes.len());
        match dice.below(8) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            2 if at < bytes.len() => bytes[at] = dice.throw() as u8,
            3 => drop(bytes.drain(at..end)),
            4 => {
                let piece = bytes[at..end].to_vec();
                let there = dice.below(bytes.len() + 1);
                bytes.splice(there..there, piece);
            }
            5 => {
                let other = dice.pick(corpus).cloned().unwrap_or_default();
                let from = dice.below(other.len() + 1);
                let upto = from + dice.below(other.len() - from + 1);
                bytes.splice(at..end, other[from..upto].iter().copied());
            }
            6 => {
                let number = BORDERS[dice.below(BORDERS.len())].to_le_bytes();
                let width = [1, 2, 4][dice.below(3)];
                for (byte, new) in bytes.iter_mut().skip(at).zip(&number[..width]) {
                    *byte = *new;
                }
            }
            _ => bytes.insert(at, dice.throw() as u8),
        }
    }
    bytes.truncate(BYTES_MAX);
    bytes
}
