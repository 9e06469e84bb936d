#![doc = include_str!("../README.md")]
//!
//! # Reading order
//!
//! `host` has the scripts of a node and loads them, `port` runs them in ports, `run` is one call
//! into a script and its limits, `effect` what a script has asked for and is done afterwards,
//! `verbs` what it can ask for. `engine` is the language, `bounded` what of its library has limits
//! of our own, `meter` how time and memory are measured.

#[cfg(not(unix))]
compile_error!("scripts need a Unix: its clocks measure the processor time of a call");

mod bounded;
mod code;
mod effect;
mod engine;
mod entry;
mod host;
mod limits;
mod meter;
mod names;
mod port;
mod quota;
mod run;
mod session;
mod values;
mod verbs;

pub use host::{LoadError, Scripts};
pub use limits::{LimitError, Limits};
pub use meter::Allocated;

#[cfg(test)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What this thread has allocated and not given back.
#[cfg(test)]
fn allocated() -> u64 {
    use tikv_jemalloc_ctl::thread;
    thread_local! {
        /// What the allocator counts for this thread; asking by name each time would be dear.
        static COUNTS: Option<(thread::ThreadLocal<u64>, thread::ThreadLocal<u64>)> =
            thread::allocatedp::read().and_then(|all| Ok((all, thread::deallocatedp::read()?))).ok();
    }
    COUNTS.with(|counts| {
        counts.as_ref().map_or(0, |(all, given_back)| all.get().wrapping_sub(given_back.get()))
    })
}

/// All that this thread has ever allocated.
#[cfg(test)]
fn allocated_in_all() -> u64 {
    tikv_jemalloc_ctl::thread::allocatedp::read().unwrap().get()
}
