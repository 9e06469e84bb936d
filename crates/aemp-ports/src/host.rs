//! What ports ask of the node that they belong to: all that they know of it.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aemp_proto::kernel::LinkId;
use aemp_proto::wire::Span;
use aemp_proto::{PortId, Reason};
use bytes::Bytes;

use super::clock::Lap;
use super::effects::Effects;
use super::mailbox_limits::MailboxLimits;
use super::monitor::Monitor;
use super::node_ref::NodeRef;
use super::owned::Owned;
use super::port_no::PortNo;
use super::scheduler::Scheduler;
use super::table::Table;
use crate::message::{Aside, Envelope, IntoMessage};

/// The state of a port: any value of its program.
pub type PortState = Box<dyn Any + Send>;

/// A handle of what ports belong to, and what it does for them.
pub trait Host: Clone + Send + Sync + 'static {
    /// What code in a port has at hand.
    type Context<'a>
    where
        Self: 'a;
    /// A change of the handlers of a port, which its code asks for in its context.
    type Change: Send;
    /// Another node, as far as ports know it: one that may be behind, or watches a port here. The
    /// order only has to tell them apart.
    type Peer: Clone + Ord + Send + Sync + 'static;
    /// The place in a trace of a message that is followed.
    type Trace: Send;
    /// That the handler of such a message runs; dropped when it has ended.
    type HandlerSpan: Send;
    /// What counts a port among those of who has made it, until the port ends.
    type Share: Send;

    /// The ports.
    fn ports(&self) -> &Ports<Self>;

    /// Does something with what this thread owns.
    fn own<R>(action: impl FnOnce(&Owned<Self>) -> R) -> R;

    /// Something that no other host of this process has, also not after the end of this one.
    fn identity(&self) -> usize;

    /// What finds the host as long as it lives.
    fn reference(&self) -> NodeRef;

    /// A number that this host has not given before.
    fn next_id(&self) -> u64;

    /// The ID of a port whose name nobody else has chosen.
    fn own_port(&self, number: PortNo) -> PortId;

    /// The context for code of a port: its number, its ID if another node chose that, and its
    /// state.
    fn context(
        &self,
        number: PortNo,
        name: Option<Arc<PortId>>,
        state: Option<PortState>,
    ) -> Self::Context<'_>;

    /// What the code in this context has asked for, if anything.
    fn effects<'c>(cx: &'c mut Self::Context<'_>) -> &'c mut Option<Box<Effects<Self>>>;

    /// The code has ended: its state, and what it has asked for.
    fn end_context(cx: Self::Context<'_>) -> (Option<PortState>, Option<Box<Effects<Self>>>);

    /// A port with a name that another node knows is going to end. It is locked.
    fn ends_named(&self, number: PortNo, name: &PortId, share: Option<&Self::Share>, reason: &Reason);

    /// Such a port has ended, and its name can be forgotten.
    fn forget_name(&self, name: &PortId);

    /// Tells another node that a port has ended, which it watches over this link.
    fn exited(&self, port: (PortNo, &PortId), watcher: (Self::Peer, LinkId), reason: &Reason);

    /// A message is for a port that has ended, or takes nothing any more.
    fn undelivered<M: IntoMessage>(&self, number: PortNo, message: Aside<M>);

    /// The same for messages of another node, which lie in `batch`; leaves `spans` empty.
    fn undelivered_spans(&self, number: PortNo, batch: &Bytes, spans: &mut Vec<Span>);

    /// A message that this thread sends to a port here: its place in a trace, if it is followed.
    /// Asked only while there is a [reason for the slow path](Ports::slow_path_reasons).
    fn trace(&self, _number: PortNo, _message: &Envelope) -> Option<Self::Trace> {
        None
    }

    /// The handler of a message with a place in a trace begins, on this thread.
    fn begin_traced(&self, _number: PortNo, _trace: Self::Trace) -> Option<Self::HandlerSpan> {
        None
    }

    /// A port has ended, with this abnormal reason.
    fn died(&self, number: PortNo, reason: &Reason);

    /// So long have handlers taken that ran one after the other.
    fn measured(&self, lap: &Lap<'_>);

    /// Nobody was told of this death. `counted` says that the port had a [`Host::Share`].
    fn died_alone(&self, port: &PortId, counted: bool, reason: &Reason);

    /// A monitor was withdrawn: forgets it wherever it is set.
    fn unmonitor(&self, monitor: &Arc<Monitor<Self>>);

    /// Lets a port that is parked go on when this node is not behind any more. False if it is not
    /// behind now.
    fn waits_for(&self, peer: &Self::Peer, port: PortNo) -> bool;

    /// At the end of a batch: writes what was added for this node.
    fn flush(&self, peer: &Self::Peer);
}

/// The ports of a host.
pub struct Ports<H: Host> {
    /// Where they are.
    pub table: Table<H>,
    /// Which one runs next.
    pub scheduler: Scheduler<H>,
    /// How much may wait for one.
    pub limits: MailboxLimits,
    /// Whether local messages are encoded, too.
    pub always_encode: bool,
    /// Why messages must be looked at before they are moved, which is rare: that they are always
    /// encoded is one reason, each trace that a thread is in the middle of another one. 0 if a
    /// message of the port's own type can be moved at once.
    pub slow_path_reasons: AtomicUsize,
}

impl<H: Host> Ports<H> {
    /// No ports yet.
    pub fn new(scheduler: Scheduler<H>, limits: MailboxLimits, always_encode: bool) -> Ports<H> {
        let slow_path_reasons = AtomicUsize::new(always_encode.into());
        Ports { table: Table::new(limits), scheduler, limits, always_encode, slow_path_reasons }
    }

    /// Whether messages must be looked at before they are moved.
    #[inline(always)]
    pub fn needs_slow_path(&self) -> bool {
        self.slow_path_reasons.load(Ordering::Relaxed) != 0
    }

    /// The ID of a port.
    pub fn id_of(&self, host: &H, number: PortNo) -> PortId {
        let named = self.table.get(number).and_then(|cell| cell.name());
        named.map_or_else(|| host.own_port(number), |name| PortId::clone(&name))
    }
}
