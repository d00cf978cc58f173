//! A program that reads standard input and writes standard output as it goes.

use std::io;
use std::os::fd::AsFd;

use rustix::io::{Errno, read, write};

/// Why a filter ended before its input did.
#[derive(Debug)]
pub enum FilterError {
    Read(io::Error),
    Write(io::Error),
}

/// Hands standard input to `step` piece by piece, as soon as there is any, and
/// `None` at its end; writes what `step` appends before the next read, which
/// may block.
///
/// Straight to the descriptors: the standard library takes a closed one for
/// the end of the input, or for a place where output may vanish.
pub fn run(mut step: impl FnMut(Option<&[u8]>, &mut Vec<u8>)) -> Result<(), FilterError> {
    let (input, output) = (io::stdin(), io::stdout());
    let mut buffer = [0; 64 << 10];
    let mut ready = Vec::new();
    loop {
        let count = match read(input.as_fd(), &mut buffer) {
            Err(Errno::INTR) => continue,
            Err(error) => return Err(FilterError::Read(error.into())),
            Ok(count) => count,
        };
        step((count > 0).then_some(&buffer[..count]), &mut ready);
        let mut rest = &ready[..];
        while !rest.is_empty() {
            match write(output.as_fd(), rest) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(FilterError::Write(error.into())),
                Ok(written) => rest = &rest[written..],
            }
        }
        ready.clear();
        if count == 0 {
            return Ok(());
        }
    }
}
