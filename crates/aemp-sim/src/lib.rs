//! The proof: many nodes in one process, under virtual time and seeded faults, and checkers that
//! know nothing of the code.
//!
//! ```text
//!   options ──► world ──► nodes (kernel, outboxes, handshakes, frames, ports: all real)
//!                           ──► history ──► check
//!                 └─────► net (streams of bytes: slow, stuck, cut, ended, reset)
//! ```
//!
//! | file | what |
//! |---|---|
//! | [`options`] | everything that can be turned, drawn from the seed; bugs to build in |
//! | [`mod@world`] | hosts, time, faults, and the programs that run on the nodes |
//! | `node` | one run of a node: the machines of the protocol crate, the ports and their host, and a small model of what the library does around them |
//! | `net` | connections |
//! | `cx` | what they all share: time, dice, queue of what is to happen |
//! | [`history`] | what happened, as records; usable without the rest |
//! | [`check`] | the promises as checkers over a history, and which rules they cover; usable without the rest |
//! | [`random`] | dice |
//!
//! A seed decides everything. A failure prints the command that repeats it; with `--trace` it tells
//! what happened.

pub mod check;
mod cx;
pub mod history;
mod net;
mod node;
pub mod options;
pub mod random;
pub mod world;

/// The command that repeats the run of a seed.
pub fn command(seed: u64) -> String {
    format!("cargo run --release -p aemp-sim -- --seed {seed} --trace")
}
