//! The rules of aemp, without input or output.
//!
//! ```text
//!   ports of this node                                    other nodes
//!      │ messages, kills, monitors                             ▲
//!      ▼                                                       │ bytes
//!   outbox, one for each node ──────── frames ──────────► connection: wire + link
//!      ▲                                                       │
//!      │ attach, break                        up, down, requests, database
//!      └──────────────────────── kernel ◄──────────────────────┘
//! ```
//!
//! A message goes from its port into the [`outbox`] of the node it is for, and from there to the
//! connection. The [`kernel`] decides what changes slowly: who is dialled, which of two connections
//! stays, who is up, what the shared database holds. It never sees a message.
//!
//! # The contract of the machines
//!
//! Nothing here opens a socket, reads a clock, starts a thread or draws a random number. Every
//! machine works in the same manner:
//!
//! - **Input** comes by a method that changes the machine and does nothing else: an event with the
//!   time ([`kernel::Kernel::handle`]), bytes ([`link::Handshake::input`], [`wire::FrameReader`]),
//!   a signal ([`outbox::Outbox::send`]).
//! - **Output** is asked for until nothing is left: actions ([`kernel::Kernel::poll`]), events
//!   ([`link::Handshake::poll`]), bytes ([`outbox::Outbox::take`]). The caller carries actions out
//!   in this order, all of them before the next input.
//! - **Time** is an argument ([`Time`], since the node was started). A machine that waits for
//!   something says until when; the caller comes back then, and a little later does no harm.
//! - **Randomness** is a seed or a nonce in the configuration. The same inputs give the same
//!   outputs, so a run can be recorded, replayed, simulated and fuzzed.
//! - **Errors** end what they are about: a frame that cannot be decoded its connection, a refused
//!   request only itself. No input panics, and all that a peer can make grow has a limit.
//!
//! Locks, tasks, sockets and user code belong to the caller. No method calls back.
//!
//! # Reading order
//!
//! [`name`] and [`value`] (what is talked about), [`wire`] (how it travels), [`link`] (one
//! connection, from greeting to silence), [`outbox`] (where the promise is kept), [`kernel`] (one
//! node), and behind it the folders `mesh` (whom to stay connected to) and `db` (the shared
//! database).

mod addr;
pub mod address;
pub mod broker;
pub mod budget;
mod db;
mod deadlines;
pub mod history;
pub mod kernel;
pub mod link;
mod link_id;
mod mesh;
pub mod name;
pub mod outbox;
mod peer;
mod random;
pub mod relay;
mod time;
mod trace_context;
pub mod typed;
pub mod value;
pub mod wire;

pub use addr::Addr;
pub use link_id::LinkId;
pub use name::{Home, NameError, NodeId, PortId, PortName};
pub use peer::{Peer, Route};
pub use time::Time;
pub use trace_context::{TraceContext, TraceParentError};
pub use value::{AnyMessage, Reason, Value};
pub use wire::{Body, Framing};
