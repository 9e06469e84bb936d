//! Spawning: ports that a registered function makes, here or on another node.

use std::sync::Arc;

use aemp_proto::wire::Request;
use aemp_proto::{Body, NodeId, PortId, Reason, TraceContext, typed};
use serde::Serialize;

use crate::follow::DeliveryTrace;
use crate::functions::{shown, unknown};
use crate::message::{EncodeError, Envelope};
use crate::node::{Node, Place};
use crate::port::Context;
use crate::runtime::sender;
use crate::spawn_share::SpawnShare;
use crate::stream;
use crate::tombstones::Tombstones;
use aemp_ports::Host as _;
use aemp_ports::actor::{Callback, Handle};
use aemp_ports::extra::Extra;
use aemp_ports::known::Known;
use aemp_ports::mailbox::{Queue, Signal};
use aemp_ports::port_no::PortNo;
use aemp_ports::pressure::Pressure;
use aemp_ports::signal::signal;
use aemp_ports::slot::State;

/// A port that was spawned and whose init function has not run yet: it is replaced before any
/// message is looked at.
struct Nascent;

impl Handle<Node, Envelope> for Nascent {
    fn message(&mut self, cx: &mut Context<'_>, _message: Envelope) {
        cx.fail("a spawned port was sent a message before its init function had run");
    }

    fn settle(&mut self, cx: &mut Context<'_>) {
        cx.receive_tagged();
    }
}

impl Node {
    /// Makes a port on a node by running a registered function in its context. The ID is known at
    /// once: messages and monitors may follow immediately, and arrive in order after the function
    /// has run. On the own node the function runs only after `spawn` has returned.
    ///
    /// If the function is not registered there, fails, or sets no receiver, monitors of the port
    /// fire with the reason. On the wire: `AnyEvent::MP::_spawn`.
    ///
    /// # Errors
    ///
    /// The arguments cannot be encoded, or are too large for a frame, or the other node cannot read
    /// them; nothing happened. If it turns out only when the node is connected that it cannot read
    /// them, monitors of the port fire.
    pub fn spawn(&self, node: &NodeId, function: &str, args: impl Serialize) -> Result<PortId, EncodeError> {
        self.spawn_under_pressure(node, function, args).map(|(port, _)| port)
    }

    /// The same, and says whether the node is behind.
    pub(crate) fn spawn_under_pressure(
        &self,
        node: &NodeId,
        function: &str,
        args: impl Serialize,
    ) -> Result<(PortId, Option<Pressure<Node>>), EncodeError> {
        let args = typed::to_body(&args)?;
        if node == self.id() {
            let number = self.open_nascent(Extra::default());
            let port = self.own_port(number);
            // A port with a name in its extra part leaves word of what it died of, for a monitor
            // that comes too late.
            if let Some(mut cell) = self.table().get(number) {
                cell.make_extra().name = Some(Arc::new(port.clone()));
            }
            let followed =
                if self.ports().needs_slow_path() { self.follow_local(number, spawn_tag) } else { None };
            self.run_init(number, function, args, followed);
            self.end_if_over(number);
            return Ok((port, None));
        }
        let remote = self.remotes().get_or_create(node);
        let port = remote.spawned.port(self.next_id());
        let request = Request::Spawn { name: port.name().to_string(), function: function.into(), args };
        let (queued, backlog) = {
            let trace = match self.ports().needs_slow_path() {
                true => self.follow(&port, Some(node), spawn_tag).map(|(trace, _)| trace),
                false => None,
            };
            let mut outbox = remote.outbox.lock();
            let by = outbox.by(sender::current);
            let queued = match trace {
                None => by.request(&request),
                Some(trace) => by.request_traced(&request, trace),
            };
            (queued, outbox.backlog())
        };
        let queued =
            queued.map_err(|why| EncodeError::Custom(format!("the arguments cannot be sent: {why}")))?;
        self.queued(&remote, queued);
        Ok((port, remote.pressure(backlog)))
    }

    /// Another node makes a port here. Refusals are logged, and remembered for the monitor that
    /// follows.
    pub(crate) fn spawned_from(
        &self,
        from: &NodeId,
        name: &str,
        (function, args): (&str, Body),
        trace: Option<TraceContext>,
    ) {
        if self.is_secure() {
            if let Some(withheld) = self.may_complain() {
                tracing::warn!(%from, name, function, withheld, "refused to spawn: this node is in secure mode");
            }
            return self.tombstones().add(from, name, None, &refused(), self.limits().tombstones);
        }
        if self.is_draining() {
            tracing::debug!(%from, name, function, "refused to spawn: this node is about to leave");
            let reason = Reason::text("spawn_refused", "the node is about to leave the network");
            return self.tombstones().add(from, name, None, &reason, self.limits().tombstones);
        }
        let id = self.id().named(name);
        let (home, number) = id.parts();
        let taken = !matches!(self.place_here(home.head(), number), Place::Nowhere);
        if taken || self.tombstones().reason(name).is_some() {
            if let Some(withheld) = self.may_complain() {
                tracing::warn!(%from, name, function, withheld, "refused to spawn a port with a name that is taken");
            }
            return;
        }
        let Some(share) = self.share_for(from, name.len()) else {
            let reason = Reason::text("spawn_refused", too_many(from));
            return self.tombstones().add(from, name, None, &reason, self.limits().tombstones);
        };
        tracing::debug!(%from, name, function, "spawn");
        // Held until the init function stands in the mailbox: nothing can be sent to the name
        // before.
        let mut names = self.inner().names.write();
        if names.contains_key(name) {
            return; // another node has chosen it just now
        }
        let extra = Extra { name: Some(Arc::new(id)), share: Some(share), ..Extra::default() };
        let number = self.open_nascent(extra);
        names.insert(name.into(), number);
        let followed = trace.and_then(|trace| self.follow_here(number, from, Some(trace), spawn_tag));
        self.run_init(number, function, args, followed);
    }

    /// Another node calls a function by name: it runs in a port of its own, which stays if it sets
    /// a receiver.
    pub(crate) fn called_from(&self, from: &NodeId, function: &str, args: Body) {
        if let Some(request) = function.strip_prefix(stream::REQUESTS) {
            return self.stream_request(from, request, &args);
        }
        let functions = &self.inner().functions;
        let registered = functions.by_name.contains_key(function);
        let finder = functions.finder.clone();
        if self.is_secure() || (finder.is_none() && !registered) {
            return self.refuse_call(from, function);
        }
        let Some(share) = self.share_for(from, 0) else { return };
        let number = self.open_nascent(Extra { share: Some(share), ..Extra::default() });
        if let Some(finder) = finder.filter(|_| !registered) {
            // Code of the program, which no connection has to wait for.
            let (from, name) = (from.clone(), function.to_string());
            let asks = move |cx: &mut Context<'_>| {
                if !finder.knows(&name) {
                    cx.node().refuse_call(&from, &name);
                    cx.end(Reason::NORMAL);
                }
            };
            signal(self, number, Signal::Job(Box::new(asks)));
        }
        self.run_init(number, function, args, None);
    }

    fn refuse_call(&self, from: &NodeId, function: &str) {
        if let Some(withheld) = self.may_complain() {
            tracing::warn!(%from, function, withheld, "refused to call a function: it is not known, or secure mode is on");
        }
    }

    /// The number that a port had which other nodes know by this name, and which is dead.
    pub(crate) fn former_number(&self, name: &str) -> Option<PortNo> {
        self.tombstones().number(name)
    }

    /// Why there is no such port: what killed it before it could be monitored, if that is known.
    pub(crate) fn why_missing(&self, port: &PortId) -> Reason {
        let known = self.tombstones().reason(&port.name().to_string());
        known.filter(|reason| !reason.is_normal()).unwrap_or_else(|| Reason::no_such_port(port))
    }

    fn tombstones(&self) -> &Tombstones {
        &self.inner().shared.tombstones
    }

    /// Room for one more port that this node makes here, with a name of this many bytes; if there
    /// is not one, that is logged.
    fn share_for(&self, from: &NodeId, name: usize) -> Option<SpawnShare> {
        let (spawned, budget) = (&self.inner().functions.spawned, self.inner().shared.budgets.of(from));
        let share = SpawnShare::take(spawned, (from, &budget), name, self.limits().peer_ports);
        if share.is_none()
            && let Some(withheld) = self.may_complain()
        {
            tracing::warn!(withheld, "refused to make a port: {}", too_many(from));
        }
        share
    }

    fn open_nascent(&self, extra: Extra<Node>) -> PortNo {
        let actor = Callback::<Node, Envelope, Nascent>::new(Nascent, None);
        let mailbox = Known::boxed(Queue::<Node, Envelope>::default());
        self.table().insert(State::Idle, mailbox, Some(Box::new(actor)), Some(Box::new(extra)))
    }

    fn run_init(&self, number: PortNo, function: &str, args: Body, followed: Option<DeliveryTrace>) {
        let code = self.inner().functions.find(function);
        let function = function.to_string();
        signal(
            self,
            number,
            Signal::Job(Box::new(move |cx: &mut Context<'_>| {
                let _handling = followed.map(|followed| cx.node().begin_handling(number, followed));
                let Some(code) = code else { return cx.end(unknown(cx, &function)) };
                match code(cx, &args) {
                    Err(reason) => cx.end(reason),
                    Ok(()) if !cx.asked().is_some_and(|effects| effects.has_receiver()) => {
                        cx.end(no_receiver(&cx.me(), &function))
                    }
                    Ok(()) => {}
                }
            })),
        );
    }
}

/// What stands for the tag of a request that makes a port.
fn spawn_tag() -> Option<String> {
    Some("spawn".into())
}

fn no_receiver(port: &PortId, function: &str) -> Reason {
    let mut reason = Reason::no_such_port(port).values().to_vec();
    reason[1] = aemp_proto::Value::Text(format!("the function {:?} set no receiver", shown(function)));
    Reason::new(reason)
}

fn too_many(from: &NodeId) -> String {
    format!(
        "{from} has made as many ports here, or made this node keep as much, as one node may (Limits::peer_ports)"
    )
}

fn refused() -> Reason {
    Reason::text("spawn_refused", "the node is in secure mode")
}
