//! Any source of a script, evaluated.

#![no_main]

#[path = "../../crates/aemp-script/tests/support/source_checks.rs"]
mod checks;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn allocated() -> u64 {
    use tikv_jemalloc_ctl::thread;
    thread_local! {
        /// What the allocator counts for this thread; asking by name each time would be dear.
        static COUNTS: Option<(thread::ThreadLocal<u64>, thread::ThreadLocal<u64>)> =
            thread::allocatedp::read().and_then(|all| Ok((all, thread::deallocatedp::read()?))).ok();
    }
    COUNTS.with(|counts| counts.as_ref().map_or(0, |(all, given_back)| all.get().wrapping_sub(given_back.get())))
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::evaluate(bytes, allocated));
