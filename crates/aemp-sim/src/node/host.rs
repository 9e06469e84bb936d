//! What a simulated node is for its ports, which are the real ones and know no more of it.
//!
//! What ports tell their host they tell in the middle of something, so the node hears of it
//! afterwards, in this order: a [`Notice`]. Only the code of a port needs the node at once. While a
//! port runs the node lies here, and its code takes it out ([`PortHost::with`]).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};

use aemp_ports::actor::ask;
use aemp_ports::clock::Lap;
use aemp_ports::effects::Effects;
use aemp_ports::host::PortState;
use aemp_ports::message::{Aside, IntoMessage};
use aemp_ports::monitor::{Gate, Monitor};
use aemp_ports::node_ref::NodeRef;
use aemp_ports::owned::Owned;
use aemp_ports::scheduler::Scheduler;
use aemp_ports::{Host, MailboxLimits, PortNo, Ports};
use aemp_proto::kernel::LinkId;
use aemp_proto::wire::Span;
use aemp_proto::{Home, NodeId, PortId, Reason};
use bytes::Bytes;
use parking_lot::Mutex;

use super::Node;
use super::ports::Asked;
use crate::cx::Cx;

/// Code that runs outside of any port.
pub(crate) type Outside = Box<dyn FnOnce(&PortHost) + Send>;

/// Something that ports have told.
pub(super) enum Notice {
    /// A port has ended.
    Ended(PortNo, Reason),
    /// A node that watched a port over this link is to be told that it has ended.
    Exited { number: PortNo, port: PortId, peer: NodeId, link: LinkId, reason: Reason },
    /// A monitor that fired because of a loss has told its owner, or nobody is left to be told.
    Told { port: PortId, m: u64 },
    /// A monitor was withdrawn.
    Withdrawn(Arc<Monitor<PortHost>>),
    /// An entry of the database goes with its port.
    Unset(String, String),
    /// The news of a monitor lies there for the task that waits.
    News { m: u64, reason: Reason, gate: Option<Gate> },
    /// There may be something for a task to do: that of an async port, or of a call.
    Woken(PortNo),
    /// A port has become an async one.
    BecameTask(PortNo),
    /// All callbacks for the loss of a node have run.
    AllTold(NodeId),
}

/// What ports have told and the node has not heard of yet.
#[derive(Clone, Default)]
pub(super) struct Notices(Arc<Mutex<VecDeque<Notice>>>);

impl Notices {
    pub(super) fn add(&self, notice: Notice) {
        self.0.lock().push_back(notice);
    }

    pub(super) fn next(&self) -> Option<Notice> {
        self.0.lock().pop_front()
    }
}

/// Adds a notice when it is dropped.
pub(super) struct WhenDropped {
    notices: Notices,
    notice: Option<Notice>,
}

impl WhenDropped {
    pub(super) fn new(notices: &Notices, notice: Notice) -> WhenDropped {
        WhenDropped { notices: notices.clone(), notice: Some(notice) }
    }
}

impl Drop for WhenDropped {
    fn drop(&mut self) {
        self.notice.take().into_iter().for_each(|notice| self.notices.add(notice));
    }
}

/// Wakes the task of a port.
struct Alarm {
    notices: Notices,
    number: PortNo,
}

impl Wake for Alarm {
    fn wake(self: Arc<Alarm>) {
        self.notices.add(Notice::Woken(self.number));
    }
}

/// A handle of what the ports of a node belong to.
#[derive(Clone)]
pub(crate) struct PortHost(Arc<Inner>);

struct Inner {
    ports: Ports<PortHost>,
    home: Arc<Home>,
    reference: NodeRef,
    numbers: AtomicU64,
    notices: Notices,
    /// Nodes for which so much waits that ports which send to them wait, and those ports.
    behind: Mutex<BTreeMap<NodeId, Vec<PortNo>>>,
    /// The node, while ports run and none of their code has it.
    lent: Mutex<Option<Lent>>,
}

/// What code of ports has in hand, one at a time.
struct Lent {
    node: Box<Node>,
    cx: Box<Cx>,
}

impl PortHost {
    pub(super) fn new(home: Arc<Home>, reference: NodeRef, limits: MailboxLimits) -> PortHost {
        // Nobody sleeps: the world decides when a port runs.
        let scheduler = Scheduler::new(0, Box::new(|_| {}));
        PortHost(Arc::new(Inner {
            ports: Ports::new(scheduler, limits, false),
            home,
            reference,
            numbers: AtomicU64::new(1),
            notices: Notices::default(),
            behind: Mutex::default(),
            lent: Mutex::new(None),
        }))
    }

    pub(super) fn home(&self) -> &Arc<Home> {
        &self.0.home
    }

    pub(super) fn notices(&self) -> &Notices {
        &self.0.notices
    }

    pub(super) fn waker(&self, number: PortNo) -> Waker {
        Waker::from(Arc::new(Alarm { notices: self.0.notices.clone(), number }))
    }

    /// So much waits for this node that ports which send to it wait.
    pub(super) fn falls_behind(&self, peer: &NodeId) {
        self.0.behind.lock().entry(peer.clone()).or_default();
    }

    /// The ports that have waited for nodes which are not behind any more.
    pub(super) fn caught_up(&self, is_behind: impl Fn(&NodeId) -> bool) -> Vec<PortNo> {
        let mut waited = Vec::new();
        self.0.behind.lock().retain(|peer, ports| {
            let stays = is_behind(peer);
            if !stays {
                waited.append(ports);
            }
            stays
        });
        waited
    }

    /// Runs ports while the node lies here. Gives everything back.
    pub(crate) fn lend<R>(
        &self,
        node: Box<Node>,
        cx: Box<Cx>,
        run: impl FnOnce(&PortHost) -> R,
    ) -> (Box<Node>, Box<Cx>, R) {
        *self.0.lent.lock() = Some(Lent { node, cx });
        let result = run(self);
        let lent = self.0.lent.lock().take();
        let Lent { node, cx } = lent.expect("code of a port has panicked with the node in its hands");
        (node, cx, result)
    }

    /// Does something with the node, in the middle of a run of a port or of a callback.
    pub(super) fn with<R>(&self, action: impl FnOnce(&mut Node, &mut Cx) -> R) -> R {
        let lent = self.0.lent.lock().take();
        let mut lent = lent.expect("code of ports runs one at a time, and while the node lies here");
        let result = action(&mut lent.node, &mut lent.cx);
        *self.0.lent.lock() = Some(lent);
        result
    }
}

/// The context of code that runs in a port.
pub(crate) struct Code<'a> {
    host: &'a PortHost,
    number: PortNo,
    state: Option<PortState>,
    effects: Option<Box<Effects<PortHost>>>,
}

impl Code<'_> {
    /// Does something on the node; what it asks for takes effect when the code has ended.
    pub(super) fn on_node(&mut self, action: impl FnOnce(&mut Node, PortNo, &mut Cx)) {
        let number = self.number;
        let asked = self.host.with(|node, cx| node.in_port(number, cx, action));
        let Some(Asked { end, behind, becomes }) = asked else { return };
        behind.into_iter().for_each(|receiver| ask::<PortHost>(self).wait_for(receiver));
        if let Some(habit) = becomes {
            let becomes = habit.becomes(self.host.notices());
            ask::<PortHost>(self).become_another(becomes);
        }
        if let Some(reason) = end {
            ask::<PortHost>(self).end(reason);
        }
    }
}

impl Host for PortHost {
    type Context<'a> = Code<'a>;
    type Change = ();
    type Peer = NodeId;
    type Share = ();
    type Trace = ();
    type HandlerSpan = ();

    fn ports(&self) -> &Ports<PortHost> {
        &self.0.ports
    }

    /// No thread owns anything, for none has a runner.
    fn own<R>(action: impl FnOnce(&Owned<PortHost>) -> R) -> R {
        action(&Owned::new())
    }

    /// Only runners and inline calls keep it, and there are none.
    fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    fn reference(&self) -> NodeRef {
        self.0.reference
    }

    fn next_id(&self) -> u64 {
        self.0.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn own_port(&self, number: PortNo) -> PortId {
        self.0.home.port(number.get())
    }

    fn context(&self, number: PortNo, _name: Option<Arc<PortId>>, state: Option<PortState>) -> Code<'_> {
        Code { host: self, number, state, effects: None }
    }

    fn effects<'c>(cx: &'c mut Code<'_>) -> &'c mut Option<Box<Effects<PortHost>>> {
        &mut cx.effects
    }

    fn end_context(cx: Code<'_>) -> (Option<PortState>, Option<Box<Effects<PortHost>>>) {
        (cx.state, cx.effects)
    }

    /// All ports here have a name, so that each end is seen.
    fn ends_named(&self, number: PortNo, _name: &PortId, _share: Option<&()>, reason: &Reason) {
        self.0.notices.add(Notice::Ended(number, reason.clone()));
    }

    fn forget_name(&self, _name: &PortId) {}

    fn exited(&self, (number, port): (PortNo, &PortId), (peer, link): (NodeId, LinkId), reason: &Reason) {
        let (port, reason) = (port.clone(), reason.clone());
        self.0.notices.add(Notice::Exited { number, port, peer, link, reason });
    }

    fn undelivered<M: IntoMessage>(&self, _number: PortNo, _message: Aside<M>) {}

    fn undelivered_spans(&self, _number: PortNo, _batch: &Bytes, spans: &mut Vec<Span>) {
        spans.clear();
    }

    fn died(&self, _number: PortNo, _reason: &Reason) {}

    fn measured(&self, _lap: &Lap<'_>) {}

    fn died_alone(&self, _port: &PortId, _counted: bool, _reason: &Reason) {}

    fn unmonitor(&self, monitor: &Arc<Monitor<PortHost>>) {
        self.0.notices.add(Notice::Withdrawn(monitor.clone()));
    }

    fn waits_for(&self, peer: &NodeId, port: PortNo) -> bool {
        let mut behind = self.0.behind.lock();
        let waits = behind.get_mut(peer);
        waits.map(|ports| ports.push(port)).is_some()
    }

    fn flush(&self, _peer: &NodeId) {}
}
