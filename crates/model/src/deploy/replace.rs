//! Hashes of store paths replaced by others of the same length, wherever they stand in bytes.
//!
//! When something below is built anew, most of what is above it changes in nothing but this.

use alloc::vec::Vec;

use super::store_path::{ALPHABET, HASH_LETTERS};
use crate::limits::REFERENCES_MAX;

/// Bytes on either side of a piece that decide what is in it.
pub const MARGIN: usize = HASH_LETTERS - 1;

pub type Letters = [u8; HASH_LETTERS];

/// What is replaced by what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replacements {
    /// Old and new, in the order of the old ones.
    pairs: Vec<(Letters, Letters)>,
}

impl Replacements {
    /// `None`: too many, one twice, or letters that are in no hash.
    pub fn new(mut pairs: Vec<(Letters, Letters)>) -> Option<Self> {
        pairs.sort();
        let is_hash = |letters: &Letters| letters.iter().all(|letter| ALPHABET.contains(letter));
        let sound = pairs.len() <= REFERENCES_MAX
            && pairs.windows(2).all(|two| two[0].0 != two[1].0)
            && pairs.iter().all(|(old, new)| is_hash(old) && is_hash(new));
        sound.then_some(Self { pairs })
    }

    pub fn pairs(&self) -> &[(Letters, Letters)] {
        &self.pairs
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Makes `out` what `bytes` become. Where two old hashes overlap, the later one counts.
    pub fn apply(&self, bytes: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(bytes);
        if self.pairs.is_empty() {
            return;
        }
        let mut run = 0;
        for (at, byte) in bytes.iter().enumerate() {
            run = if IS_LETTER[usize::from(*byte)] { run + 1 } else { 0 };
            if run < HASH_LETTERS {
                continue;
            }
            let from = at + 1 - HASH_LETTERS;
            let found = self.pairs.binary_search_by(|(old, _)| old[..].cmp(&bytes[from..=at]));
            if let Ok(place) = found {
                out[from..=at].copy_from_slice(&self.pairs[place].1);
            }
        }
    }
}

const IS_LETTER: [bool; 256] = {
    let mut table = [false; 256];
    let mut place = 0;
    while place < ALPHABET.len() {
        table[ALPHABET[place] as usize] = true;
        place += 1;
    }
    table
};

/// The same for bytes that come one after the other.
pub struct Stream<'a> {
    replacements: &'a Replacements,
    /// Bytes before the next piece: those that were given out already, and those that wait.
    kept: Vec<u8>,
    given: usize,
    out: Vec<u8>,
}

impl<'a> Stream<'a> {
    pub fn new(replacements: &'a Replacements) -> Self {
        Self { replacements, kept: Vec::new(), given: 0, out: Vec::new() }
    }

    /// Takes the next bytes, and gives out all that is decided.
    pub fn push<E>(
        &mut self,
        bytes: &[u8],
        put: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.replacements.is_empty() {
            return put(bytes);
        }
        self.kept.extend_from_slice(bytes);
        // Words of an archive are short: looking at each alone would look at all bytes many times.
        if self.kept.len() < 16 * MARGIN {
            return Ok(());
        }
        let end = self.kept.len() - MARGIN;
        self.give(end, put)?;
        let before = self.given.saturating_sub(MARGIN);
        self.kept.drain(..before);
        self.given -= before;
        Ok(())
    }

    /// Gives out the rest.
    pub fn end<E>(&mut self, put: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.give(self.kept.len(), put)
    }

    fn give<E>(
        &mut self,
        end: usize,
        put: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if end > self.given {
            self.replacements.apply(&self.kept, &mut self.out);
            put(&self.out[self.given..end])?;
            self.given = end;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use core::convert::Infallible;

    fn letters(of: &[u8]) -> Letters {
        core::array::from_fn(|at| of[at % of.len()])
    }

    fn replacements() -> Replacements {
        let pair = |old: &[u8], new: &[u8]| (letters(old), letters(new));
        Replacements::new(vec![pair(b"a", b"x"), pair(b"bc", b"yz"), pair(b"0123", b"4567")])
            .expect("they are sound")
    }

    #[test]
    fn a_hash_is_replaced_wherever_a_piece_is_cut() {
        let replacements = replacements();
        let mut bytes = b"/nix/store/".to_vec();
        for (old, between) in [
            (&b"a"[..], &b"-x/bin:/"[..]),
            (b"bc", b""),
            (b"0123", b"e"),
            (b"q", b"a"),
            (b"a", b"0"),
        ] {
            bytes.extend(letters(old));
            bytes.extend(between);
        }
        bytes.extend([b'a'; 33]);
        bytes.extend(vec![7; 700]);
        bytes.extend(letters(b"bc"));
        let mut whole = Vec::new();
        replacements.apply(&bytes, &mut whole);
        assert_eq!(whole.len(), bytes.len());
        assert!(whole.starts_with(b"/nix/store/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-x/bin:/yzyz"));
        assert!(whole.ends_with(b"\x07yzyzyzyzyzyzyzyzyzyzyzyzyzyzyzyz"));
        for piece in [1, 2, 31, 32, 33, 100, 5000] {
            let mut stream = Stream::new(&replacements);
            let mut given = Vec::new();
            let mut put = |bytes: &[u8]| {
                given.extend_from_slice(bytes);
                Ok::<(), Infallible>(())
            };
            for bytes in bytes.chunks(piece) {
                let Ok(()) = stream.push(bytes, &mut put);
            }
            let Ok(()) = stream.end(&mut put);
            assert_eq!(given, whole, "in pieces of {piece}");
        }
        // A piece out of the middle is known by what is close to it.
        let mut out = Vec::new();
        for (from, to) in [(0, 40), (20, 90), (100, 101), (130, 300)] {
            let (begin, end) = (usize::saturating_sub(from, MARGIN), to + MARGIN);
            replacements.apply(&bytes[begin..end], &mut out);
            assert_eq!(out[from - begin..to - begin], whole[from..to]);
        }
    }

    #[test]
    fn what_is_not_one_thing_is_refused() {
        let (a, x) = (letters(b"a"), letters(b"x"));
        assert!(Replacements::new(vec![(a, x), (a, a)]).is_none());
        assert!(Replacements::new(vec![(a, letters(b"e"))]).is_none());
        assert!(Replacements::new(vec![(letters(b"/"), x)]).is_none());
        assert!(Replacements::new(vec![]).is_some_and(|none| none.is_empty()));
    }
}
