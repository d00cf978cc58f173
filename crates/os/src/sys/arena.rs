//! The first few kilobytes of memory that a program asks for.
//!
//! The C library's allocator makes half a dozen system calls and touches a
//! page for each size that is asked for, which is much for a command that
//! lives for a tenth of a millisecond and needs two kilobytes. Those come from
//! the program's own zero pages; what is given back serves the next who asks
//! for as much.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Release};

/// All there is.
const BYTES: usize = 16 << 10;
/// Every piece has a multiple of this, and begins at one.
const UNIT: usize = 16;
/// Larger things would soon fill it.
const PIECE_UNITS_MAX: usize = 64;

#[repr(align(16))]
struct Space(UnsafeCell<[u8; BYTES]>);

/// What of the space is free, in units.
struct Free {
    /// Everything from here on was never given away.
    rest: u16,
    /// For each size the first piece that was given back, plus one; it holds
    /// the next.
    given_back: [u16; PIECE_UNITS_MAX + 1],
}

struct Guarded(UnsafeCell<Free>);

// SAFETY: no two pieces overlap.
unsafe impl Sync for Space {}
// SAFETY: `with_free` lets one thread in at a time.
unsafe impl Sync for Guarded {}

static SPACE: Space = Space(UnsafeCell::new([0; BYTES]));
static FREE: Guarded =
    Guarded(UnsafeCell::new(Free { rest: 0, given_back: [0; PIECE_UNITS_MAX + 1] }));
static BUSY: AtomicBool = AtomicBool::new(false);

/// An allocator that `A` helps out with all that is large, and once the first
/// kilobytes are gone.
pub struct Arena<A>(pub A);

/// `None`: another thread is at it. Nobody waits: there is `A`.
fn with_free<T>(act: impl FnOnce(&mut Free) -> T) -> Option<T> {
    if BUSY.swap(true, Acquire) {
        return None;
    }
    // SAFETY: `BUSY` was false, so nobody else is here.
    let done = act(unsafe { &mut *FREE.0.get() });
    BUSY.store(false, Release);
    Some(done)
}

fn at(unit: u16) -> *mut u8 {
    SPACE.0.get().cast::<u8>().wrapping_add(usize::from(unit) * UNIT)
}

/// Where in the space it begins, if it does.
fn unit_of(piece: *mut u8) -> Option<u16> {
    let place = piece.addr().wrapping_sub(at(0).addr());
    (place < BYTES).then_some((place / UNIT) as u16)
}

fn units(size: usize) -> usize {
    size.div_ceil(UNIT)
}

impl Free {
    fn take(&mut self, units: usize) -> Option<u16> {
        if let Some(unit) = self.given_back[units].checked_sub(1) {
            // SAFETY: a piece that was given back holds the next one.
            self.given_back[units] = unsafe { at(unit).cast::<u16>().read() };
            return Some(unit);
        }
        let (unit, end) = (self.rest, usize::from(self.rest) + units);
        (end <= BYTES / UNIT).then(|| {
            self.rest = end as u16;
            unit
        })
    }

    fn give_back(&mut self, unit: u16, units: usize) {
        // SAFETY: the piece belongs to nobody any more.
        unsafe { at(unit).cast::<u16>().write(self.given_back[units]) };
        self.given_back[units] = unit + 1;
    }

    /// Makes a piece larger where nothing lies behind it.
    fn grow(&mut self, unit: u16, old: usize, new: usize) -> bool {
        let (unit, rest) = (usize::from(unit), usize::from(self.rest));
        let last = unit + old == rest && old <= new && unit + new <= BYTES / UNIT;
        if last {
            self.rest = (unit + new) as u16;
        }
        last
    }
}

fn take(layout: Layout) -> Option<*mut u8> {
    let units = units(layout.size());
    if units > PIECE_UNITS_MAX || layout.align() > UNIT {
        return None;
    }
    with_free(|free| free.take(units)).flatten().map(at)
}

// SAFETY: a piece of the space belongs to whoever got it until it is given
// back; everything else is `A`'s.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Arena<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that `A` wants.
        take(layout).unwrap_or_else(|| unsafe { self.0.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match take(layout) {
            // SAFETY: it is as long as was asked for, and may have been used before.
            Some(piece) => unsafe {
                piece.write_bytes(0, layout.size());
                piece
            },
            // SAFETY: as above.
            None => unsafe { self.0.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        match unit_of(piece) {
            // Where another thread is at it, the piece is lost.
            Some(unit) => drop(with_free(|free| free.give_back(unit, units(layout.size())))),
            // SAFETY: it came from `A`.
            None => unsafe { self.0.dealloc(piece, layout) },
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(unit) = unit_of(piece) else {
            // SAFETY: it came from `A`.
            return unsafe { self.0.realloc(piece, layout, size) };
        };
        let (old, new) = (units(layout.size()), units(size));
        let stays = old == new
            || new <= PIECE_UNITS_MAX
                && with_free(|free| free.grow(unit, old, new)).unwrap_or(false);
        if stays {
            return piece;
        }
        // SAFETY: the caller promises that `size` fits the alignment; the two
        // pieces do not overlap.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                piece.copy_to_nonoverlapping(new, layout.size().min(size));
                self.dealloc(piece, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;

    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    // One test: the space is the process's own, and tests run beside each other.
    #[test]
    fn pieces_do_not_overlap_and_serve_again() {
        let arena = Arena(System);
        // SAFETY: each piece is used within its size and given back once, as it was asked for.
        unsafe {
            let small = layout(8, 8);
            let first = arena.alloc(small);
            assert!(unit_of(first).is_some());
            let grown = arena.realloc(first, small, 100);
            assert_eq!(grown, first, "nothing lies behind the last one");
            grown.write_bytes(7, 100);
            let other = arena.alloc_zeroed(small);
            let moved = arena.realloc(grown, layout(100, 8), 200);
            assert_ne!(moved, grown, "something lies behind it now");
            assert_eq!(std::slice::from_raw_parts(moved, 100), [7; 100]);
            assert_eq!(arena.alloc(layout(98, 1)), grown, "what was given back serves again");
            let large = arena.realloc(moved, layout(200, 8), 4096);
            assert!(unit_of(large).is_none() && *large == 7, "large things lie elsewhere");
            arena.dealloc(large, layout(4096, 8));
            assert!(unit_of(arena.alloc(layout(16, 64))).is_none(), "so does what is aligned so");
            other.write_bytes(1, 8);
            arena.dealloc(other, small);
            assert_eq!(std::slice::from_raw_parts(arena.alloc_zeroed(small), 8), [0; 8]);

            // Everything there is, three times over.
            for _ in 0..3 {
                let mut pieces = Vec::new();
                for mark in 0..=255u8 {
                    let size = 1 + usize::from(mark) * 7 % 300;
                    let piece = arena.alloc(layout(size, 1 << (mark % 5)));
                    assert_eq!(piece.addr() % (1 << (mark % 5)), 0);
                    piece.write_bytes(mark, size);
                    pieces.push((piece, layout(size, 1 << (mark % 5)), mark));
                }
                assert!(unit_of(pieces[0].0).is_some() && unit_of(pieces[255].0).is_none());
                for (piece, layout, mark) in pieces {
                    let bytes = std::slice::from_raw_parts(piece, layout.size());
                    assert!(bytes.iter().all(|byte| *byte == mark), "somebody wrote into {mark}");
                    arena.dealloc(piece, layout);
                }
            }
        }
    }
}
