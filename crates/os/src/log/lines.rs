//! Lines of a file, forwards and backwards, with a bounded buffer.

use std::io;
use std::os::fd::OwnedFd;

use model::limits::LOG_SHOWN_BYTES_MAX;
use model::log::line::newline;

/// Bytes that are read at once.
const BLOCK_BYTES: usize = 2 * LOG_SHOWN_BYTES_MAX;

/// What is done with a line, or several: go on?
pub type Each<'a> = &'a mut dyn FnMut(&[u8]) -> io::Result<bool>;

/// Hands over each line between `from` and `to`, without its newline; one that
/// is longer than [`LOG_SHOWN_BYTES_MAX`] in pieces. A last one without
/// newline comes too, unless only `whole` ones shall. Answers where it ended, or
/// nothing where it was told to stop.
pub fn forward(
    file: &OwnedFd,
    from: u64,
    to: u64,
    whole: bool,
    each: Each<'_>,
) -> io::Result<Option<u64>> {
    let mut buffer = vec![0; BLOCK_BYTES];
    let (mut at, mut filled) = (from, 0);
    loop {
        let read_at = at + filled as u64;
        let room = (buffer.len() - filled)
            .min(usize::try_from(to.saturating_sub(read_at)).unwrap_or(usize::MAX));
        let count = read(file, &mut buffer[filled..][..room], read_at)?;
        filled += count;
        let mut taken = 0;
        loop {
            let left = &buffer[taken..filled];
            let near = &left[..left.len().min(LOG_SHOWN_BYTES_MAX + 1)];
            let (end, next) = match newline(near) {
                Some(end) => (end, end + 1),
                None if near.len() > LOG_SHOWN_BYTES_MAX => {
                    (LOG_SHOWN_BYTES_MAX, LOG_SHOWN_BYTES_MAX)
                }
                None if count == 0 && !whole && !near.is_empty() => (near.len(), near.len()),
                None => break,
            };
            if !each(&left[..end])? {
                return Ok(None);
            }
            taken += next;
        }
        at += taken as u64;
        buffer.copy_within(taken..filled, 0);
        filled -= taken;
        if count == 0 {
            return Ok(Some(at));
        }
    }
}

/// Goes back from `end`, where a line ends, and hands over where each block
/// begins, and its lines; until it is told to stop. A block begins where a line does.
pub fn backward(
    file: &OwnedFd,
    end: u64,
    each: &mut dyn FnMut(u64, &[u8]) -> io::Result<bool>,
) -> io::Result<()> {
    backward_through(&mut vec![0; BLOCK_BYTES], file, end, each)
}

/// The same through a buffer that is there already; longer lines than that come in pieces.
pub fn backward_through(
    buffer: &mut [u8],
    file: &OwnedFd,
    mut end: u64,
    each: &mut dyn FnMut(u64, &[u8]) -> io::Result<bool>,
) -> io::Result<()> {
    while end > 0 {
        let start = end.saturating_sub(buffer.len() as u64);
        let wanted = (end - start) as usize;
        let count = read_all(file, &mut buffer[..wanted], start)?;
        let block = &buffer[..count];
        // The last byte ends the line before: one that begins behind it is none of these.
        let inner = &block[..block.len().saturating_sub(1)];
        let skipped = if start == 0 { 0 } else { newline(inner).map_or(0, |at| at + 1) };
        if !each(start + skipped as u64, &block[skipped..])? {
            return Ok(());
        }
        end = start + skipped as u64;
    }
    Ok(())
}

/// A place not behind the first line for which `early` is false; answers of
/// lines go from true to false, and those that say nothing do not count.
pub fn bisect(
    file: &OwnedFd,
    length: u64,
    early: &mut dyn FnMut(&[u8]) -> Option<bool>,
) -> io::Result<u64> {
    let mut buffer = vec![0; BLOCK_BYTES];
    let (mut low, mut high) = (0, length);
    while high - low > BLOCK_BYTES as u64 {
        let middle = low + (high - low) / 2;
        let count = read_all(file, &mut buffer, middle)?;
        let mut block = &buffer[..count];
        let mut found = None;
        while let Some(end) = newline(block) {
            block = &block[end + 1..];
            if let Some(next) = newline(block)
                && let Some(early) = early(&block[..next])
            {
                found = early.then_some(middle + (count - block.len()) as u64);
                break;
            }
        }
        match found {
            Some(start) => low = start,
            None => high = middle,
        }
    }
    Ok(low)
}

/// Reads at a place, as much as comes at once.
pub fn read(file: &OwnedFd, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        match rustix::io::pread(file, &mut *buffer, at) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Reads at a place until the buffer is full or the file ends.
pub fn read_all(file: &OwnedFd, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    loop {
        match read(file, &mut buffer[filled..], at + filled as u64)? {
            0 => return Ok(filled),
            count => filled += count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> OwnedFd {
        let memory = rustix::fs::memfd_create("lines", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        std::fs::File::from(memory.try_clone().unwrap()).write_all(bytes).unwrap();
        memory
    }

    fn all(file: &OwnedFd, from: u64, to: u64, whole: bool) -> (Vec<Vec<u8>>, u64) {
        let mut lines = Vec::new();
        let end = forward(file, from, to, whole, &mut |line| {
            lines.push(line.to_vec());
            Ok(true)
        });
        (lines, end.unwrap().unwrap())
    }

    #[test]
    fn lines_come_whole_in_order_and_the_last_one_if_it_is_wanted() {
        let open = file(b"a\n\nbc\nd");
        assert_eq!(all(&open, 0, 99, false).0, [&b"a"[..], b"", b"bc", b"d"]);
        assert_eq!(all(&open, 0, 99, true), (vec![b"a".to_vec(), vec![], b"bc".to_vec()], 6));
        assert_eq!(all(&open, 2, 6, false).0, [&b""[..], b"bc"]);
        assert_eq!(all(&open, 9, 99, false), (vec![], 9), "behind the end");
        assert_eq!(all(&file(b""), 0, 99, false), (vec![], 0));
        let mut count = 0;
        let stopped = forward(&open, 0, 99, false, &mut |_| {
            count += 1;
            Ok(false)
        });
        assert_eq!((stopped.unwrap(), count), (None, 1));
    }

    #[test]
    fn a_line_without_end_comes_in_pieces() {
        let long = vec![b'x'; 3 * BLOCK_BYTES + 7];
        let open = file(&long);
        let (lines, end) = all(&open, 0, u64::MAX, false);
        assert!(lines.iter().all(|line| line.len() <= LOG_SHOWN_BYTES_MAX));
        assert_eq!((lines.concat(), end), (long.clone(), long.len() as u64));
        let mut seen = Vec::new();
        backward(&open, long.len() as u64, &mut |start, block| {
            assert_eq!(start, (long.len() - seen.len() - block.len()) as u64);
            seen.extend_from_slice(block);
            Ok(true)
        })
        .unwrap();
        assert_eq!(seen.len(), long.len());
        assert_eq!(bisect(&open, long.len() as u64, &mut |_| Some(true)).unwrap(), 0);
    }

    #[test]
    fn backwards_each_line_comes_once_and_no_block_begins_inside_of_one() {
        let text: Vec<u8> = (0..40_000).flat_map(|i| format!("line {i}\n").into_bytes()).collect();
        let open = file(&text);
        let mut blocks = Vec::new();
        backward(&open, text.len() as u64, &mut |start, block| {
            assert!(block.starts_with(b"line ") && block.ends_with(b"\n"));
            assert_eq!(block, &text[start as usize..][..block.len()]);
            blocks.push(block.to_vec());
            Ok(true)
        })
        .unwrap();
        blocks.reverse();
        assert!(blocks.len() > 2 && blocks.concat() == text);
    }

    #[test]
    fn the_place_of_a_time_is_found_without_reading_all() {
        let text: Vec<u8> = (0..200_000).flat_map(|i| format!("{i:06}\n").into_bytes()).collect();
        let open = file(&text);
        for wanted in [0, 1, 77_777, 123_456, 199_999, 200_000] {
            let mut looks = 0;
            let place = bisect(&open, text.len() as u64, &mut |line| {
                looks += 1;
                let number: u32 = std::str::from_utf8(line).ok()?.parse().ok()?;
                number.is_multiple_of(2).then_some(number < wanted)
            });
            let place = place.unwrap();
            assert!(place.is_multiple_of(7) && place <= u64::from(wanted) * 7);
            assert!(u64::from(wanted) * 7 - place <= 2 * BLOCK_BYTES as u64, "near {wanted}");
            assert!(looks < 100, "{looks} lines were looked at");
        }
    }
}
