//! How an archive is made of files that are there already: a stream of orders.
//!
//! Numbers have seven bits in each byte, the lowest first, the highest bit saying that more follow.

use alloc::vec::Vec;
use core::fmt;

use crate::limits::NAR_LINK_BYTES_MAX;

const INSERT: u8 = 1;
const OPEN: u8 = 2;
const COPY: u8 = 3;
const ADD: u8 = 4;

/// Who does what is ordered.
pub trait Sink {
    type Error;
    /// These bytes come next.
    fn insert(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
    /// The old file that is meant from now on.
    fn open(&mut self, path: &[u8]) -> Result<(), Self::Error>;
    /// So many of its bytes come next.
    fn copy(&mut self, offset: u64, count: u64) -> Result<(), Self::Error>;
    /// Its bytes from here on come next, each with one of these added to it.
    fn add(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Self::Error>;
}

/// What is wrong with a stream of orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Impossible;

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the difference to an older path orders what cannot be")
    }
}

/// Why reading ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop<E> {
    Impossible,
    Sink(E),
}

impl<E> From<Impossible> for Stop<E> {
    fn from(_: Impossible) -> Self {
        Self::Impossible
    }
}

#[derive(Clone, Copy)]
enum Step {
    Order,
    /// The numbers of this order are missing from the first or second on.
    Numbers {
        order: u8,
        first: Option<u64>,
    },
    Bytes {
        order: u8,
        left: u64,
    },
}

/// Reads orders as they come.
pub struct Reader {
    step: Step,
    number: u64,
    bits: u32,
    path: Vec<u8>,
    /// Behind what was read last of the old file; offsets are counted from here.
    at: u64,
}

impl Default for Reader {
    fn default() -> Self {
        Self { step: Step::Order, number: 0, bits: 0, path: Vec::new(), at: 0 }
    }
}

impl Reader {
    pub fn push<S: Sink>(&mut self, mut bytes: &[u8], sink: &mut S) -> Result<(), Stop<S::Error>> {
        while let Some((&first_byte, rest)) = bytes.split_first() {
            match self.step {
                Step::Order => {
                    if !(INSERT..=ADD).contains(&first_byte) {
                        return Err(Stop::Impossible);
                    }
                    self.step = Step::Numbers { order: first_byte, first: None };
                    bytes = rest;
                }
                Step::Numbers { order, first } => {
                    bytes = rest;
                    if let Some(number) = self.digit(first_byte)? {
                        self.numbers(order, first, number, sink)?;
                    }
                }
                Step::Bytes { order, left } => {
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let (now, rest) = bytes.split_at(count);
                    match order {
                        INSERT => sink.insert(now).map_err(Stop::Sink)?,
                        ADD => {
                            sink.add(self.at, now).map_err(Stop::Sink)?;
                            self.at += count as u64;
                        }
                        _ => self.path.extend_from_slice(now),
                    }
                    bytes = rest;
                    self.bytes_end(order, left - count as u64, sink)?;
                }
            }
        }
        Ok(())
    }

    /// Says that nothing more comes.
    pub fn end(&self) -> Result<(), Impossible> {
        if matches!(self.step, Step::Order) { Ok(()) } else { Err(Impossible) }
    }

    fn digit(&mut self, byte: u8) -> Result<Option<u64>, Impossible> {
        let value = u64::from(byte & 0x7f);
        // 56 bits are more than any file has bytes.
        if self.bits >= 56 {
            return Err(Impossible);
        }
        self.number |= value << self.bits;
        self.bits += 7;
        if byte & 0x80 != 0 {
            return Ok(None);
        }
        self.bits = 0;
        Ok(Some(core::mem::take(&mut self.number)))
    }

    fn numbers<S: Sink>(
        &mut self,
        order: u8,
        first: Option<u64>,
        number: u64,
        sink: &mut S,
    ) -> Result<(), Stop<S::Error>> {
        match (order, first) {
            (INSERT, _) => self.bytes_end(order, number, sink),
            (OPEN, _) => {
                if number > NAR_LINK_BYTES_MAX as u64 {
                    return Err(Stop::Impossible);
                }
                self.path.clear();
                self.bytes_end(order, number, sink)
            }
            (_, None) => {
                self.step = Step::Numbers { order, first: Some(number) };
                Ok(())
            }
            (_, Some(jump)) => {
                // The lowest bit says whether it goes back.
                let far = jump >> 1;
                let at = match jump & 1 {
                    0 => self.at.checked_add(far),
                    _ => self.at.checked_sub(far),
                };
                self.at = at.ok_or(Impossible)?;
                let end = self.at.checked_add(number).ok_or(Impossible)?;
                if order == ADD {
                    return self.bytes_end(order, number, sink);
                }
                self.step = Step::Order;
                sink.copy(self.at, number).map_err(Stop::Sink)?;
                self.at = end;
                Ok(())
            }
        }
    }

    fn bytes_end<S: Sink>(
        &mut self,
        order: u8,
        left: u64,
        sink: &mut S,
    ) -> Result<(), Stop<S::Error>> {
        self.step = if left > 0 { Step::Bytes { order, left } } else { Step::Order };
        if left == 0 && order == OPEN {
            self.at = 0;
            sink.open(&self.path).map_err(Stop::Sink)?;
        }
        Ok(())
    }
}

/// Writes orders.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
    at: u64,
}

impl Writer {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    fn place(&mut self, order: u8, offset: u64, count: u64) {
        self.bytes.push(order);
        let jump = match offset.checked_sub(self.at) {
            Some(forward) => forward << 1,
            None => (self.at - offset) << 1 | 1,
        };
        self.number(jump);
        self.number(count);
        self.at = offset + count;
    }

    pub fn insert(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.bytes.push(INSERT);
            self.number(bytes.len() as u64);
            self.bytes.extend_from_slice(bytes);
        }
    }

    pub fn open(&mut self, path: &[u8]) {
        self.bytes.push(OPEN);
        self.number(path.len() as u64);
        self.bytes.extend_from_slice(path);
        self.at = 0;
    }

    pub fn copy(&mut self, offset: u64, count: u64) {
        self.place(COPY, offset, count);
    }

    pub fn add(&mut self, offset: u64, bytes: &[u8]) {
        self.place(ADD, offset, bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use core::convert::Infallible;

    #[derive(Default)]
    struct Told(String);

    impl Sink for Told {
        type Error = Infallible;
        fn insert(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
            self.0 += &format!("insert {bytes:?}\n");
            Ok(())
        }
        fn open(&mut self, path: &[u8]) -> Result<(), Infallible> {
            self.0 += &format!("open {}\n", String::from_utf8_lossy(path));
            Ok(())
        }
        fn copy(&mut self, offset: u64, count: u64) -> Result<(), Infallible> {
            self.0 += &format!("copy {offset} {count}\n");
            Ok(())
        }
        fn add(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Infallible> {
            self.0 += &format!("add {offset} {bytes:?}\n");
            Ok(())
        }
    }

    #[test]
    fn orders_are_read_as_they_were_written() {
        let mut writer = Writer::default();
        writer.insert(&[1, 2, 3]);
        writer.open(b"lib/libc.so");
        writer.copy(1_000_000, 70_000);
        writer.add(10, &[0, 255]);
        writer.copy(12, 1);
        writer.insert(&[]);
        writer.open(b"");
        writer.copy(0, 5);
        let bytes = writer.into_bytes();
        let expected = "insert [1, 2, 3]\nopen lib/libc.so\ncopy 1000000 70000\nadd 10 [0, 255]\n\
                        copy 12 1\nopen \ncopy 0 5\n";
        let mut told = Told::default();
        let mut reader = Reader::default();
        assert_eq!(reader.push(&bytes, &mut told), Ok(()));
        assert_eq!(reader.end(), Ok(()));
        assert_eq!(told.0, expected);
        // Cut between two orders it is a whole stream: what is missing shows in the hash.
        let whole = (0..bytes.len()).filter(|end| {
            let mut reader = Reader::default();
            assert_eq!(reader.push(&bytes[..*end], &mut Told::default()), Ok(()));
            reader.end().is_ok()
        });
        assert_eq!(whole.count(), expected.lines().count());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for bytes in [
            &[0][..],
            &[5],
            &[COPY, 3, 1],       // before the file begins
            &[OPEN, 0xff, 0x7f], // a path longer than any
            &[COPY, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1],
        ] {
            let outcome = Reader::default().push(bytes, &mut Told::default());
            assert_eq!(outcome, Err(Stop::Impossible), "{bytes:?}");
        }
    }
}
