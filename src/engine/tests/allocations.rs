//! Counts what the current thread allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, with a count for each thread. Tests only.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static COUNT: Cell<Count> = const { Cell::new(Count { allocations: 0, live_bytes: 0 }) };
}

/// What a thread has allocated so far.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    pub allocations: u64,
    /// What was allocated and not freed; negative if the thread freed more than it allocated.
    pub live_bytes: i64,
}

/// The count of the current thread.
pub fn count() -> Count {
    COUNT.get()
}

fn add(allocations: u64, bytes: i64) {
    // A thread that is being torn down no longer has a count.
    let _ = COUNT.try_with(|count| {
        let Count { allocations: before, live_bytes } = count.get();
        count.set(Count { allocations: before + allocations, live_bytes: live_bytes + bytes });
    });
}

// SAFETY: every method passes its arguments on to the system's allocator, whose contract is the same. Counting
// touches a thread-local without a destructor and never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(1, layout.size() as i64);
        // SAFETY: see above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        add(0, -(layout.size() as i64));
        // SAFETY: see above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        add(1, new_size as i64 - layout.size() as i64);
        // SAFETY: see above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
