//! What a program does where no memory is left: most say so and end; init,
//! which may not end, waits.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

static WAITS: AtomicBool = AtomicBool::new(false);

/// Nobody waits for more than this at once: it may never be there. A program
/// that asks for it falls.
const WAITED_BYTES_MAX: usize = 1 << 20;

/// The exit code of a command that the system has refused something.
const REFUSED: libc::c_int = 111;

/// From now on this program waits for memory rather than to end.
pub fn wait_for_memory() {
    WAITS.store(true, Relaxed);
}

/// The C library's allocator, which does not come back without memory.
pub struct Allocator;

// SAFETY: `System` does all of it; asking it again is as good as asking once.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that `System` wants.
        insist(layout.size(), || unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        insist(layout.size(), || unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above; where it fails, `old` stays as it is.
        insist(size, || unsafe { System.realloc(old, layout, size) })
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}

#[inline]
fn insist(size: usize, attempt: impl Fn() -> *mut u8) -> *mut u8 {
    let place = attempt();
    if place.is_null() { without_memory(size, &attempt) } else { place }
}

#[cold]
fn without_memory(size: usize, attempt: &dyn Fn() -> *mut u8) -> *mut u8 {
    if !WAITS.load(Relaxed) {
        say(b"ward: fatal: no memory is left\n");
        // SAFETY: ends this process; nothing of it is used any more.
        unsafe { libc::_exit(REFUSED) }
    }
    if size > WAITED_BYTES_MAX {
        return std::ptr::null_mut();
    }
    say(b"init: no memory is left; waiting for some\n");
    loop {
        // SAFETY: a wait of 100 ms, for nothing.
        unsafe { libc::poll(std::ptr::null_mut(), 0, 100) };
        let place = attempt();
        if !place.is_null() {
            return place;
        }
    }
}

/// Prints without asking for memory, where that does not wait either.
fn say(text: &[u8]) {
    let mut room = libc::pollfd { fd: 2, events: libc::POLLOUT, revents: 0 };
    // SAFETY: both calls read or write only what they are given.
    unsafe {
        if libc::poll(&mut room, 1, 0) > 0 {
            libc::write(2, text.as_ptr().cast(), text.len());
        }
    }
}
