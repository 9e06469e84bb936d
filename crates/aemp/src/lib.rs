#![doc = include_str!("../README.md")]
//!
//! # Guards
//!
//! What a guard stands for ends when the guard is dropped, and goes on by itself after `detach()`:
//! a monitor ([`MonitorGuard`]), an entry of the database ([`DbGuard`]), a node
//! ([`CloseOnDrop`]). What belongs to a port needs no guard and ends with the port: its tasks and
//! timers, the monitors that it has set and detached, the names that it is registered under.
//!
//! # Features
//!
//! Both are on by default, and each only adds.
//!
//! - `tls`: connections that certificates authenticate and encrypt, with rustls.
//! - `logs`: lets other nodes catch what this program logs, with a layer for tracing-subscriber.
// Says on docs.rs what needs a feature.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_debug_implementations)]

// Reading order: `node` (the handle), `send` (where a message goes), `ports/`
// (mailboxes, and who runs them), `monitor`, `call/`, then `runtime/driver` (the loop around the
// kernel).

// So that derived code works inside of this crate too.
extern crate self as aemp;

pub mod actor;
mod async_actor;
pub mod broker;
mod builder;
pub mod call;
mod change;
mod close_on_drop;
mod code;
pub mod database;
mod deadline;
mod drain;
mod fan_out;
mod flush;
pub mod follow;
mod functions;
mod gate;
mod guard;
mod host;
mod inbox;
pub mod log;
mod losses;
pub mod message;
mod monitor;
mod node;
mod owned;
mod port;
mod rate_limit;
pub mod recorder;
mod remote;
mod runtime;
mod send;
mod send_error;
mod spawn;
mod spawn_share;
pub mod stats;
pub mod stream;
pub mod supervise;
mod telling;
mod timer;
mod tombstones;
pub mod trace;
pub mod tutorial;
mod verbs;

pub use actor::Actor;
pub use aemp_macros::Message;
pub use aemp_proto::kernel::{EntryError, Route};
pub use aemp_proto::link::{AuthMethod, PeerAddress};
pub use aemp_proto::outbox::OutboxLimits;
pub use aemp_proto::relay::RelayLimits;
pub use aemp_proto::wire::Limits as FrameLimits;
pub use aemp_proto::{
    Addr, AnyMessage, Body, Framing, NameError, NodeId, PortId, Reason, TraceContext, TraceParentError, Value,
};
pub use async_actor::AsyncActor;
pub use builder::{Builder, StartError};
pub use call::{Call, CallError};
pub use change::ChangeError;
pub use close_on_drop::CloseOnDrop;
pub use code::{EvalReply, Evaluate, FunctionResolver};
pub use database::{Change, Database, DatabaseError, DbGuard, DbWatch};
pub use drain::{DrainReport, Unfinished};
pub use guard::{ExitFuture, MonitorGuard};
pub use inbox::Inbox;
pub use message::{DecodeError, EncodeError, Envelope, FromMessage, IntoMessage, Message, ReplyTo};
pub use node::{Limits, Node};
pub use port::{Context, ExitResult, Handlers, Mailbox};
pub use recorder::Dump;
pub use runtime::leaving::Busy;
pub use runtime::report::{ShutdownReport, Undelivered};
pub use runtime::shutdown::SHUTDOWN_GRACE;
#[cfg(feature = "tls")]
pub use runtime::tls::{BundleError, check_bundle};
pub use runtime::{NodeEvent, NodeEvents};
pub use send_error::SendError;
pub use stats::Stats;
pub use stream::{Stream, StreamError};
pub use timer::Timer;
