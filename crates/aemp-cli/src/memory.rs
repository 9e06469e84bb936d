//! The allocator of this command: it counts what each thread has, so that scripts can be held to a
//! limit.

use tikv_jemalloc_ctl::thread;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Bytes that this thread has allocated and not given back.
pub(crate) fn allocated() -> u64 {
    thread_local! {
        /// What the allocator counts for this thread; asking by name each time would be dear.
        static COUNTS: Option<(thread::ThreadLocal<u64>, thread::ThreadLocal<u64>)> =
            thread::allocatedp::read().and_then(|all| Ok((all, thread::deallocatedp::read()?))).ok();
    }
    COUNTS.with(|counts| {
        counts.as_ref().map_or(0, |(all, given_back)| all.get().wrapping_sub(given_back.get()))
    })
}
