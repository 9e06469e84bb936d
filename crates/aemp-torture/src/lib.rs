//! Torture of the promise: nodes in processes of their own, behind proxies that cut, judged by the
//! checkers of the simulator.
//!
//! ```text
//!   supervisor ──► node processes (the real library) ──► their histories ──┐
//!       │                 │ TCP on loopback                                ├──► aemp_sim::check
//!       └──► proxies ◄────┘ reset, stall, cut, throttle; kill -9, SIGSTOP ─┘
//! ```
//!
//! | file | what |
//! |---|---|
//! | [`plan`] | what a seed decides: the runtime, the framing, TLS, who can be dialled, how much goes wrong |
//! | [`supervisor`] | one seed from its start to its verdict |
//! | `process` | a node's process: start, signals, commands, end |
//! | `faults` | what goes wrong, and when |
//! | `proxy` | the connections between the nodes |
//! | `frame_dropper` | takes one frame out of a connection |
//! | `clock` | the clock that all processes share |
//! | [`node`] | what runs in a node's process: programs, and the history that they write |
//!
//! A seed decides what is tried, not what happens: threads and sockets have their own mind. So a
//! seed that fails is repeated several times, and its history is kept. A history is written from
//! outside of the library; which rules judge it, and which do not and why, is in
//! [`aemp_sim::check::RULES`].
//!
//! What makes a history true: a record is written before what it tells can have an effect elsewhere
//! (a message is noted before it is sent, its arrival as the first act of the handler), straight to
//! the file, so that it is there after `kill -9`. The clock is that of the machine. Deaths and
//! losses are noted when the library tells of them, which is later than they happen; the checkers
//! know that.

mod clock;
mod faults;
mod frame_dropper;
pub mod node;
pub mod plan;
mod process;
mod proxy;
pub mod supervisor;

/// The command that repeats a seed.
pub fn command(seed: u64) -> String {
    format!("cargo run --release -p aemp-torture -- --seed {seed} --times 20")
}
