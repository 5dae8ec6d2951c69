//! Memory of the process: an allocator that ends the process with one line if there is none left,
//! and one heap for all threads.
//!
//! Without it, a failed allocation would abort the process with a signal and a core dump.
#![allow(unsafe_code, reason = "an allocator and libc's settings of it have no safe interface")]

use std::alloc::{GlobalAlloc, Layout, System};

/// Allocator of the program: the system's, except that a failure ends the process.
pub struct Allocator;

/// Line of a process that has no memory left. It must not be formatted: that would allocate.
const NO_MEMORY: &[u8] = b"vault-backup: error: out of memory: the system refused an allocation\n\
    hint: raise the memory limit of the process (ulimit -v, a cgroup)\n";

// SAFETY: every method passes its arguments on to `System`, which has the same contract, and returns
// its result; `checked` does not return if that is null.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { System.realloc(old, layout, size) })
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}

#[inline]
fn checked(memory: *mut u8) -> *mut u8 {
    if memory.is_null() {
        end();
    }
    memory
}

/// Ends the process without running anything else. The kernel releases its locks; the next run
/// removes what this one left in the store.
#[cold]
fn end() -> ! {
    // SAFETY: write gets a buffer and its size, and _exit has no preconditions. Neither allocates.
    // Nothing can be done about a failed write.
    unsafe {
        libc::write(2, NO_MEMORY.as_ptr().cast(), NO_MEMORY.len());
        libc::_exit(1)
    }
}

/// Lets all threads allocate from one heap. By default each thread reserves 64 MiB of address space,
/// and the pools of free memory of the threads add up.
pub(crate) fn use_one_heap() {
    // SAFETY: it only changes a parameter of malloc, before any other thread runs.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
