//! Takes LZMA2 apart: the smallest form of programs that a small device can read quickly.
//!
//! Chunks of at most 64 kB are each a control byte, lengths, and bytes of a range coder; what they
//! repeat lies in a window. Source: the LZMA specification of the LZMA SDK (`lzma-specification.txt`),
//! and for chunks "The .xz File Format" with XZ Embedded's page about LZMA2.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

/// What is wrong with compressed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LzmaError {
    /// They mean nothing.
    Corrupt,
    /// They want a larger window than they said, or anybody has.
    Window,
    /// They end too early.
    Short,
}

impl fmt::Display for LzmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Corrupt => "the compressed bytes are damaged",
            Self::Window => "the compressed bytes want more memory than is allowed",
            Self::Short => "the compressed bytes end too early",
        })
    }
}

/// Why it ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop<E> {
    Lzma(LzmaError),
    Put(E),
}

impl<E> From<LzmaError> for Stop<E> {
    fn from(error: LzmaError) -> Self {
        Self::Lzma(error)
    }
}

/// The last bytes, which what follows may repeat.
struct Window {
    bytes: Box<[u8]>,
    /// Where the next byte comes.
    at: usize,
    /// From here on nobody was given them.
    given: usize,
    /// How many there are, up to all.
    filled: usize,
    /// Bytes since it was emptied: some probabilities depend on the lowest bits.
    position: usize,
}

impl Window {
    /// The byte so far back; 0 is the last one.
    fn back(&self, distance: usize) -> u8 {
        let at = if distance < self.at {
            self.at - distance - 1
        } else {
            self.at + self.bytes.len() - distance - 1
        };
        self.bytes[at]
    }

    fn push<E>(&mut self, byte: u8, put: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.bytes[self.at] = byte;
        self.at += 1;
        self.position = self.position.wrapping_add(1);
        self.filled = self.filled.max(self.at);
        if self.at == self.bytes.len() {
            self.give(put)?;
            (self.at, self.given) = (0, 0);
        }
        Ok(())
    }

    fn give<E>(&mut self, put: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if self.at > self.given {
            put(&self.bytes[self.given..self.at])?;
            self.given = self.at;
        }
        Ok(())
    }

    fn clear(&mut self) {
        (self.filled, self.position) = (0, 0);
        if self.given == self.at {
            (self.at, self.given) = (0, 0);
        }
    }
}

/// Reads bits that are more or less probable. Behind the end come zeros, which `is_over` tells.
struct Coder<'a> {
    bytes: &'a [u8],
    at: usize,
    range: u32,
    code: u32,
}

impl<'a> Coder<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, LzmaError> {
        let (head, rest) = bytes.split_first_chunk::<5>().ok_or(LzmaError::Corrupt)?;
        let [first, code @ ..] = *head;
        if first != 0 {
            return Err(LzmaError::Corrupt);
        }
        Ok(Self { bytes: rest, at: 0, range: u32::MAX, code: u32::from_be_bytes(code) })
    }

    fn normalize(&mut self) {
        if self.range < 1 << 24 {
            self.range <<= 8;
            let next = self.bytes.get(self.at).copied().unwrap_or(0);
            self.code = self.code << 8 | u32::from(next);
            self.at += 1;
        }
    }

    fn bit(&mut self, probability: &mut u16) -> usize {
        self.normalize();
        let bound = (self.range >> 11) * u32::from(*probability);
        if self.code < bound {
            self.range = bound;
            *probability += (2048 - *probability) >> 5;
            0
        } else {
            self.range -= bound;
            self.code -= bound;
            *probability -= *probability >> 5;
            1
        }
    }

    fn plain(&mut self, count: u32) -> u32 {
        let mut value = 0;
        for _ in 0..count {
            self.normalize();
            self.range >>= 1;
            let one = u32::from(self.code >= self.range);
            self.code -= self.range * one;
            value = value << 1 | one;
        }
        value
    }

    /// A number of as many bits as the tree is deep, the highest first.
    fn tree(&mut self, tree: &mut [u16]) -> usize {
        let mut place = 1;
        while place < tree.len() {
            place = place << 1 | self.bit(&mut tree[place]);
        }
        place - tree.len()
    }

    /// The same, the lowest bit first. `before` is where the tree begins in `trees`.
    fn tree_back(&mut self, trees: &mut [u16], before: usize, count: u32) -> usize {
        let (mut place, mut value) = (1, 0);
        for shift in 0..count {
            let bit = self.bit(&mut trees[before + place]);
            place = place << 1 | bit;
            value |= bit << shift;
        }
        value
    }

    fn is_over(&mut self) -> bool {
        self.normalize();
        self.at == self.bytes.len() && self.code == 0
    }
}

const HALF: u16 = 1024;
const STATES: usize = 12;
const POSITIONS: usize = 16;

struct Length {
    choice: [u16; 2],
    low: [[u16; 8]; POSITIONS],
    middle: [[u16; 8]; POSITIONS],
    high: [u16; 256],
}

impl Length {
    const NEW: Self = Self {
        choice: [HALF; 2],
        low: [[HALF; 8]; POSITIONS],
        middle: [[HALF; 8]; POSITIONS],
        high: [HALF; 256],
    };

    fn read(&mut self, coder: &mut Coder<'_>, position: usize) -> usize {
        if coder.bit(&mut self.choice[0]) == 0 {
            2 + coder.tree(&mut self.low[position])
        } else if coder.bit(&mut self.choice[1]) == 0 {
            10 + coder.tree(&mut self.middle[position])
        } else {
            18 + coder.tree(&mut self.high)
        }
    }
}

/// How probable each bit is: learned from what was read.
struct Model {
    is_match: [[u16; POSITIONS]; STATES],
    is_repeat: [u16; STATES],
    is_repeat_0: [u16; STATES],
    is_repeat_1: [u16; STATES],
    is_repeat_2: [u16; STATES],
    is_long: [[u16; POSITIONS]; STATES],
    slots: [[u16; 64]; 4],
    distances: [u16; 128],
    align: [u16; 16],
    length: Length,
    repeat_length: Length,
    /// One of Lempel and Ziv's twelve: what came last.
    state: usize,
    /// The last four distances.
    last: [usize; 4],
}

impl Model {
    const NEW: Self = Self {
        is_match: [[HALF; POSITIONS]; STATES],
        is_repeat: [HALF; STATES],
        is_repeat_0: [HALF; STATES],
        is_repeat_1: [HALF; STATES],
        is_repeat_2: [HALF; STATES],
        is_long: [[HALF; POSITIONS]; STATES],
        slots: [[HALF; 64]; 4],
        distances: [HALF; 128],
        align: [HALF; 16],
        length: Length::NEW,
        repeat_length: Length::NEW,
        state: 0,
        last: [0; 4],
    };
}

/// What has to come before a chunk can be read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Needs {
    Nothing,
    State,
    Properties,
    Window,
}

/// Reads LZMA2 as it comes.
pub struct Decoder {
    window: Window,
    model: Box<Model>,
    literals: Vec<u16>,
    literal_context: u32,
    literal_position: u32,
    position_bits: u32,
    needs: Needs,
    /// What is there of the chunk.
    chunk: Vec<u8>,
    is_over: bool,
}

/// Bytes before those of a chunk: control, two lengths, properties.
const HEAD_MAX: usize = 6;

impl Decoder {
    /// `window`: bytes of memory for what may be repeated.
    pub fn new(window: u32) -> Self {
        let bytes = alloc::vec![0; window.max(4096) as usize].into_boxed_slice();
        Self {
            window: Window { bytes, at: 0, given: 0, filled: 0, position: 0 },
            model: Box::new(Model::NEW),
            literals: Vec::new(),
            literal_context: 0,
            literal_position: 0,
            position_bits: 0,
            needs: Needs::Window,
            chunk: Vec::new(),
            is_over: false,
        }
    }

    /// Whether the end was read.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Takes the next bytes, and gives out what they mean; how many of them were before the end.
    pub fn push<E>(
        &mut self,
        mut bytes: &[u8],
        put: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<usize, Stop<E>> {
        let all = bytes.len();
        while !bytes.is_empty() && !self.is_over {
            let whole = wanted(&self.chunk)?;
            let count = bytes.len().min(whole - self.chunk.len());
            self.chunk.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if self.chunk.len() == wanted(&self.chunk)? {
                let mut chunk = core::mem::take(&mut self.chunk);
                self.read(&chunk, put)?;
                chunk.clear();
                self.chunk = chunk;
            }
        }
        Ok(all - bytes.len())
    }

    fn read<E>(
        &mut self,
        chunk: &[u8],
        put: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), Stop<E>> {
        let control = chunk[0];
        if control == 0 {
            self.is_over = true;
            return Ok(());
        }
        if control == 1 || control >= 0xe0 {
            self.window.clear();
            self.needs = Needs::Properties;
        }
        if self.needs == Needs::Window {
            return Err(LzmaError::Corrupt.into());
        }
        if control < 0x80 {
            for byte in &chunk[3..] {
                self.window.push(*byte, put).map_err(Stop::Put)?;
            }
        } else {
            let begin = if control >= 0xc0 {
                self.properties(chunk[5])?;
                self.needs = Needs::State;
                6
            } else {
                5
            };
            if control >= 0xa0 && self.needs <= Needs::State {
                *self.model = Model::NEW;
                self.literals.clear();
                let count = 0x300 << (self.literal_context + self.literal_position);
                self.literals.resize(count, HALF);
                self.needs = Needs::Nothing;
            }
            if self.needs != Needs::Nothing {
                return Err(LzmaError::Corrupt.into());
            }
            let high = usize::from(control & 31) << 16;
            let count = (high | usize::from(chunk[1]) << 8 | usize::from(chunk[2])) + 1;
            let mut coder = Coder::new(&chunk[begin..])?;
            self.decode(&mut coder, count, put)?;
            if !coder.is_over() {
                return Err(LzmaError::Corrupt.into());
            }
        }
        self.window.give(put).map_err(Stop::Put)
    }

    fn properties(&mut self, byte: u8) -> Result<(), LzmaError> {
        let (context, rest) = (u32::from(byte % 9), u32::from(byte / 9));
        let (position, bits) = (rest % 5, rest / 5);
        if bits > 4 || context + position > 4 {
            return Err(LzmaError::Corrupt);
        }
        (self.literal_context, self.literal_position, self.position_bits) =
            (context, position, bits);
        Ok(())
    }

    fn decode<E>(
        &mut self,
        coder: &mut Coder<'_>,
        count: usize,
        put: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), Stop<E>> {
        let mut left = count;
        while left > 0 {
            if coder.at > coder.bytes.len() {
                return Err(LzmaError::Corrupt.into());
            }
            let model = &mut *self.model;
            let (state, position) =
                (model.state, self.window.position & ((1 << self.position_bits) - 1));
            if coder.bit(&mut model.is_match[state][position]) == 0 {
                let byte = self.literal(coder);
                self.window.push(byte, put).map_err(Stop::Put)?;
                left -= 1;
                continue;
            }
            let length = if coder.bit(&mut model.is_repeat[state]) == 0 {
                model.last.rotate_right(1);
                let length = model.length.read(coder, position);
                model.state = if state < 7 { 7 } else { 10 };
                model.last[0] = distance(model, coder, length);
                length
            } else {
                match repeated(model, coder, state, position) {
                    true => {
                        let length = model.repeat_length.read(coder, position);
                        model.state = if state < 7 { 8 } else { 11 };
                        length
                    }
                    false => {
                        model.state = if state < 7 { 9 } else { 11 };
                        1
                    }
                }
            };
            if self.model.last[0] >= self.window.filled {
                return Err(LzmaError::Window.into());
            }
            if length > left {
                return Err(LzmaError::Corrupt.into());
            }
            for _ in 0..length {
                let byte = self.window.back(self.model.last[0]);
                self.window.push(byte, put).map_err(Stop::Put)?;
            }
            left -= length;
        }
        Ok(())
    }

    fn literal(&mut self, coder: &mut Coder<'_>) -> u8 {
        let (model, window) = (&mut *self.model, &self.window);
        let before = if window.filled > 0 { usize::from(window.back(0)) } else { 0 };
        let low = window.position & ((1 << self.literal_position) - 1);
        let high = before >> (8 - self.literal_context);
        let begin = 0x300 * ((low << self.literal_context) + high);
        let tree = &mut self.literals[begin..begin + 0x300];
        let mut symbol = 1;
        if model.state >= 7 && model.last[0] < window.filled {
            // It is not the byte that the last match would go on with.
            let mut other = usize::from(window.back(model.last[0]));
            while symbol < 0x100 {
                other <<= 1;
                let wrong = other & 0x100;
                let bit = coder.bit(&mut tree[0x100 + wrong + symbol]);
                symbol = symbol << 1 | bit;
                if wrong >> 8 != bit {
                    break;
                }
            }
        }
        while symbol < 0x100 {
            symbol = symbol << 1 | coder.bit(&mut tree[symbol]);
        }
        model.state = match model.state {
            0..=3 => 0,
            state @ 4..=9 => state - 3,
            state => state - 6,
        };
        symbol as u8
    }
}

/// Chooses one of the last distances; `false`: the last one, and for one byte only.
fn repeated(model: &mut Model, coder: &mut Coder<'_>, state: usize, position: usize) -> bool {
    if coder.bit(&mut model.is_repeat_0[state]) == 0 {
        return coder.bit(&mut model.is_long[state][position]) == 1;
    }
    let which = if coder.bit(&mut model.is_repeat_1[state]) == 0 {
        1
    } else {
        2 + coder.bit(&mut model.is_repeat_2[state])
    };
    model.last[..=which].rotate_right(1);
    true
}

/// How far back a match begins; 0 is the last byte.
fn distance(model: &mut Model, coder: &mut Coder<'_>, length: usize) -> usize {
    let slot = coder.tree(&mut model.slots[(length - 2).min(3)]);
    if slot < 4 {
        return slot;
    }
    let bits = (slot / 2 - 1) as u32;
    let base = (2 | slot & 1) << bits;
    if slot < 14 {
        base + coder.tree_back(&mut model.distances, base - slot, bits)
    } else {
        let high = coder.plain(bits - 4) as usize;
        base + (high << 4) + coder.tree_back(&mut model.align, 0, 4)
    }
}

/// Bytes of the chunk that begins so: all, or as many as tell.
fn wanted(chunk: &[u8]) -> Result<usize, LzmaError> {
    let pair =
        |at: usize| chunk[at..].first_chunk().map(|two| usize::from(u16::from_be_bytes(*two)));
    Ok(match chunk.first() {
        None | Some(0) => 1,
        Some(1 | 2) if chunk.len() < 3 => 3,
        Some(1 | 2) => 4 + pair(1).unwrap_or(0),
        Some(3..=0x7f) => return Err(LzmaError::Corrupt),
        Some(_) if chunk.len() < 5 => 5,
        Some(control) => {
            let head = if *control >= 0xc0 { HEAD_MAX } else { HEAD_MAX - 1 };
            head + pair(3).unwrap_or(0) + 1
        }
    })
}

#[cfg(test)]
mod tests;
