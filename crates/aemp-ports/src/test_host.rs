//! The smallest host: ports alone, in one thread, without a node or a runtime.

use std::any::Any;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use aemp_proto::kernel::LinkId;
use aemp_proto::name::random_head;
use aemp_proto::wire::Span;
use aemp_proto::{Home, NodeId, PortId, Reason};
use bytes::Bytes;
use parking_lot::Mutex;

use super::actor::{Callback, Closure, ask};
use super::clock::Clock;
use super::clock::Lap;
use super::deliver::deliver;
use super::effects::Effects;
use super::host::{Host, PortState, Ports};
use super::known::Known;
use super::mailbox::Queue;
use super::mailbox_limits::MailboxLimits;
use super::monitor::Monitor;
use super::node_ref::{NodeRef, OwnRef};
use super::owned::Owned;
use super::port_no::PortNo;
use super::scheduler::{Scheduler, turn};
use super::slot::State;
use crate::message::{Aside, FromMessage, IntoMessage};

thread_local! {
    static OWNED: Owned<Alone> = const { Owned::new() };
    static TOLD: RefCell<Vec<(PortId, Reason)>> = const { RefCell::new(Vec::new()) };
}

/// Ports and nothing else.
#[derive(Clone)]
pub(crate) struct Alone(Arc<Inner>);

struct Inner {
    home: &'static Home,
    ports: Ports<Alone>,
    numbers: AtomicU64,
    reference: OwnRef,
    /// Deaths that nobody was told of.
    unseen: Mutex<Vec<Reason>>,
}

/// What code of such a port has at hand.
pub(crate) struct Code<'a> {
    host: &'a Alone,
    state: Option<PortState>,
    effects: Option<Box<Effects<Alone>>>,
}

impl Code<'_> {
    /// Sends; the port waits afterwards if the receiver is behind.
    pub(crate) fn send(&mut self, to: PortNo, message: impl IntoMessage) {
        if let Ok(Some(behind)) = deliver(self.host, to, message) {
            ask::<Alone>(self).wait_for(behind);
        }
    }

    /// The port ends when this code has ended.
    pub(crate) fn end(&mut self, reason: Reason) {
        ask::<Alone>(self).end(reason);
    }
}

impl Alone {
    pub(crate) fn new(limits: MailboxLimits) -> Alone {
        let node = NodeId::new("alone").expect("a node ID");
        let home = Home::lasting(node, &random_head(Default::default()));
        let ports = Ports::new(Scheduler::new(1, Box::new(|_| {})), limits, false);
        let reference = OwnRef::new(Weak::<()>::new());
        let (numbers, unseen) = (AtomicU64::new(1), Mutex::default());
        Alone(Arc::new(Inner { home, ports, numbers, reference, unseen }))
    }

    /// Opens a port.
    pub(crate) fn open<M: FromMessage>(
        &self,
        handler: impl FnMut(&mut Code<'_>, M) + Send + 'static,
    ) -> PortNo {
        let actor = Callback::<Alone, M, _>::new(Closure(handler), None);
        let mailbox = Known::boxed(Queue::<Alone, M>::default());
        self.0.ports.table.insert(State::Idle, mailbox, Some(Box::new(actor)), None)
    }

    /// Runs ports on this thread until none has anything to do.
    pub(crate) fn run(&self) {
        let queues = self.0.ports.scheduler.take_queues();
        let mut queue = queues.into_iter().next().unwrap_or_else(crossbeam_deque::Worker::new_fifo);
        let mut busy = true;
        while busy {
            (queue, busy) = turn(self, queue, &mut Clock::new(), Duration::from_secs(1));
        }
    }

    /// Reasons of deaths that nobody was told of.
    pub(crate) fn unseen(&self) -> Vec<Reason> {
        std::mem::take(&mut *self.0.unseen.lock())
    }

    /// Whether the port lives.
    pub(crate) fn lives(&self, number: PortNo) -> bool {
        self.0.ports.table.get(number).is_some()
    }
}

impl Host for Alone {
    type Context<'a> = Code<'a>;
    type Change = ();
    type Peer = u32;
    type Share = ();
    type Trace = ();
    type HandlerSpan = ();

    fn ports(&self) -> &Ports<Alone> {
        &self.0.ports
    }

    fn own<R>(action: impl FnOnce(&Owned<Alone>) -> R) -> R {
        OWNED.with(action)
    }

    fn identity(&self) -> usize {
        std::ptr::from_ref(self.0.home).addr()
    }

    fn reference(&self) -> NodeRef {
        self.0.reference.get()
    }

    fn next_id(&self) -> u64 {
        self.0.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn own_port(&self, number: PortNo) -> PortId {
        self.0.home.own_port(number.get())
    }

    fn context(&self, _number: PortNo, _name: Option<Arc<PortId>>, state: Option<PortState>) -> Code<'_> {
        Code { host: self, state, effects: None }
    }

    fn effects<'c>(cx: &'c mut Code<'_>) -> &'c mut Option<Box<Effects<Alone>>> {
        &mut cx.effects
    }

    fn end_context(cx: Code<'_>) -> (Option<Box<dyn Any + Send>>, Option<Box<Effects<Alone>>>) {
        (cx.state, cx.effects)
    }

    fn ends_named(&self, _number: PortNo, _name: &PortId, _share: Option<&()>, _reason: &Reason) {}

    fn forget_name(&self, _name: &PortId) {}

    fn exited(&self, (_, id): (PortNo, &PortId), _watcher: (u32, LinkId), reason: &Reason) {
        TOLD.with_borrow_mut(|told| told.push((id.clone(), reason.clone())));
    }

    fn undelivered<M: IntoMessage>(&self, _number: PortNo, _message: Aside<M>) {}

    fn undelivered_spans(&self, _number: PortNo, _batch: &Bytes, spans: &mut Vec<Span>) {
        spans.clear();
    }

    fn died(&self, _number: PortNo, _reason: &Reason) {}

    fn measured(&self, _lap: &Lap<'_>) {}

    fn died_alone(&self, _port: &PortId, _counted: bool, reason: &Reason) {
        self.0.unseen.lock().push(reason.clone());
    }

    fn unmonitor(&self, monitor: &Arc<Monitor<Alone>>) {
        let number = PortNo::new(monitor.target.parts().1);
        let cell = number.and_then(|number| self.0.ports.table.get(number));
        if let Some(mut cell) = cell
            && let Some(extra) = cell.extra_mut()
        {
            extra.watchers.local.remove(&monitor.id);
        }
    }

    fn waits_for(&self, _peer: &u32, _port: PortNo) -> bool {
        false
    }

    fn flush(&self, _peer: &u32) {}
}
