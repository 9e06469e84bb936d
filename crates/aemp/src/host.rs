//! What a node does for its ports: all that these know of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aemp_proto::kernel::LinkId;
use aemp_proto::outbox::tag_of;
use aemp_proto::wire::Span;
use aemp_proto::{PortId, Reason};
use bytes::Bytes;

use crate::follow::{DeliveryTrace, HandlerSpan};
use crate::message::{Aside, Envelope, IntoMessage};
use crate::node::Node;
use crate::owned::own;
use crate::port::Context;
use crate::port::handlers::Change;
use crate::recorder::compact::CompactEvent;
use crate::remote::{HIGH_WATER, Remote};
use crate::spawn_share::SpawnShare;
use aemp_ports::clock::Lap;
use aemp_ports::effects::Effects;
use aemp_ports::host::PortState;
use aemp_ports::monitor::Monitor;
use aemp_ports::node_ref::NodeRef;
use aemp_ports::owned::Owned;
use aemp_ports::{Host, PortNo, Ports};

impl Host for Node {
    type Context<'a> = Context<'a>;
    type Change = Change;
    type Peer = Arc<Remote>;
    type Share = SpawnShare;
    type Trace = DeliveryTrace;
    type HandlerSpan = HandlerSpan;

    #[inline(always)]
    fn ports(&self) -> &Ports<Node> {
        &self.inner().ports
    }

    #[inline(always)]
    fn own<R>(action: impl FnOnce(&Owned<Node>) -> R) -> R {
        own(|owned| action(&owned.ports))
    }

    #[inline]
    fn identity(&self) -> usize {
        std::ptr::from_ref(self.inner().home).addr()
    }

    #[inline]
    fn reference(&self) -> NodeRef {
        self.inner().own_ref.get()
    }

    fn next_id(&self) -> u64 {
        self.inner().counter.fetch_add(1, Ordering::Relaxed)
    }

    #[inline]
    fn own_port(&self, number: PortNo) -> PortId {
        self.inner().home.own_port(number.get())
    }

    #[inline]
    fn context(&self, number: PortNo, name: Option<Arc<PortId>>, state: Option<PortState>) -> Context<'_> {
        Context::new(self, number, name, state)
    }

    #[inline(always)]
    fn effects<'c>(cx: &'c mut Context<'_>) -> &'c mut Option<Box<Effects<Node>>> {
        &mut cx.effects
    }

    #[inline(always)]
    fn end_context(cx: Context<'_>) -> (Option<PortState>, Option<Box<Effects<Node>>>) {
        cx.end_of_run()
    }

    /// Remembers what it died of, for monitors that come too late.
    fn ends_named(&self, number: PortNo, name: &PortId, share: Option<&SpawnShare>, reason: &Reason) {
        let spawner = share.map_or(self.id(), SpawnShare::node);
        let limit = self.limits().tombstones;
        self.inner().shared.tombstones.add(spawner, &name.name().to_string(), Some(number), reason, limit);
    }

    /// The name that another node chose for a port is free again in the table, but not for another
    /// port.
    fn forget_name(&self, name: &PortId) {
        self.inner().names.write().remove(&name.name().to_string());
    }

    fn exited(
        &self,
        (number, id): (PortNo, &PortId),
        (remote, link): (Arc<Remote>, LinkId),
        reason: &Reason,
    ) {
        let monitors = remote.watching.lock().end(number);
        for _ in 0..monitors.max(1) {
            let queued = {
                let mut outbox = remote.outbox.lock();
                if outbox.link() != Some(link) {
                    return; // asked over a connection that is gone
                }
                outbox.by(|| number.get()).died(id.name().to_string(), reason)
            };
            self.queued(&remote, queued);
        }
    }

    fn undelivered<M: IntoMessage>(&self, number: PortNo, message: Aside<M>) {
        self.undeliverable(number, message);
    }

    fn undelivered_spans(&self, number: PortNo, batch: &Bytes, spans: &mut Vec<Span>) {
        self.undeliverable_spans(&self.own_port(number), batch, spans);
    }

    fn trace(&self, number: PortNo, message: &Envelope) -> Option<DeliveryTrace> {
        self.follow_local(number, || tag_of(&message.encode().ok()?))
    }

    fn begin_traced(&self, number: PortNo, followed: DeliveryTrace) -> Option<HandlerSpan> {
        Some(self.begin_handling(number, followed))
    }

    fn died(&self, number: PortNo, reason: &Reason) {
        let shared = &self.inner().shared;
        shared.counts.kills.add(&reason.identifier().unwrap_or_default());
        shared.note(|| CompactEvent::port_died(self.own_port(number), reason));
    }

    fn measured(&self, lap: &Lap<'_>) {
        self.inner().shared.counts.handlers.ran(lap.items, lap.took);
        if lap.is_blocked() {
            self.blocked(lap.ports, lap.took);
        }
    }

    /// Of ports that other nodes have made, and can make as many of as they like, not each is
    /// logged.
    fn died_alone(&self, port: &PortId, counted: bool, reason: &Reason) {
        let withheld = if counted { self.may_complain() } else { Some(0) };
        if let Some(withheld) = withheld {
            tracing::warn!(%port, %reason, withheld, "a port died, and nobody monitors it");
        }
    }

    fn unmonitor(&self, monitor: &Arc<Monitor<Node>>) {
        self.forget_monitor(monitor);
    }

    fn waits_for(&self, remote: &Arc<Remote>, port: PortNo) -> bool {
        remote.blocked.lock().push(port);
        // Looked at after the entry is there: who drains looks at the entries afterwards.
        remote.outbox.lock().backlog() > HIGH_WATER
    }

    fn flush(&self, remote: &Arc<Remote>) {
        remote.flush(self);
    }
}

impl Node {
    /// One of these ports has held up the others for so long.
    #[cold]
    fn blocked(&self, ports: &[PortNo], took: Duration) {
        let numbers: BTreeSet<PortNo> = ports.iter().copied().collect();
        let ports: Vec<String> = numbers.into_iter().map(|number| self.port_id(number).to_string()).collect();
        match &ports[..] {
            [port] => tracing::warn!(port, ?took, "a handler blocked its thread; use a task for slow work"),
            _ => tracing::warn!(
                ports = ports.join(" "),
                ?took,
                "a handler of one of these ports blocked its thread; use a task for slow work"
            ),
        }
        let shared = &self.inner().shared;
        shared.counts.blocked_handlers.fetch_add(1, Ordering::Relaxed);
        shared.counts.handlers.blocked(shared.now(), took, ports);
    }
}
