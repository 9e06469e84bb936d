//! What comes for the node port: requests of other nodes, and those that this node sends to itself.

use std::sync::Arc;

use aemp_proto::kernel::LinkId;
use aemp_proto::wire::{BodyBuilder, Request, RequestError};
use aemp_proto::{Body, NodeId, PortId, Reason, TraceContext, Value};

use crate::log::clock;
use crate::node::{Node, Place};
use crate::remote::Remote;
use crate::stats::question::Question;
use crate::trace;
use aemp_ports::monitor::Telling as NewsTelling;
use aemp_ports::port_no::PortNo;
use aemp_ports::signal::kill_from_afar;

/// Requests that every node knows, for `can`.
const KNOWN: [&str; 33] = [
    // Asks nothing; that it is known tells our nodes from Perl's.
    "aemp",
    "mon0",
    "mon1",
    "kil0",
    "kil1",
    "snd",
    "can",
    "time",
    "devnull",
    "",
    "AnyEvent::MP::_spawn",
    "AnyEvent::MP::DataConn::_expect",
    "AnyEvent::MP::DataConn::_connect",
    "g_slave",
    "g_global",
    "g_set",
    "g_upd",
    "g_find",
    "g_found",
    "g_db_family",
    "g_db_keys",
    "g_db_values",
    "g_reply",
    "g_mon1",
    "g_mon0",
    "g_chg1",
    "g_chg2",
    "x_found",
    "x_dial",
    "x_call",
    "x_data",
    "x_ack",
    "x_end",
];

/// What `aemp restart` of Perl has a node evaluate; nothing is evaluated for it, but the function
/// is called that it names.
const PERL_RESTART: &str = "my $w; $w = AE::idle sub { undef $w; use AnyEvent::Watchdog::Util (); \
    AnyEvent::Watchdog::Util::restart}; ()";

/// What a program registers that can be started again by its watchdog.
const RESTART: &str = "AnyEvent::Watchdog::Util::restart";

/// Whether this is that code, however it is spaced.
fn is_restart(code: &str) -> bool {
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    code.len() < 2 * PERL_RESTART.len() && squeezed(code) == squeezed(PERL_RESTART)
}

impl Node {
    fn can_be_restarted(&self) -> bool {
        !self.is_secure() && self.inner().functions.get(RESTART).is_some()
    }

    /// A request of another node, which came over this link.
    pub(crate) fn remote_request(
        &self,
        remote: &Arc<Remote>,
        link: LinkId,
        body: Body,
        trace: Option<TraceContext>,
    ) {
        if Request::is_mesh(&body) {
            return self.inner().shared.requests.enter(link, &remote.node, body);
        }
        let request = match Request::decode(&body) {
            Ok(request) => request,
            Err(error) => return self.refused(&remote.node, &error),
        };
        match request {
            Request::Monitor(name) => self.watch(remote, link, &name),
            Request::Unmonitor(name) => self.unwatch(remote, &name),
            Request::Died(name, reason) => self.died_there(remote, &name, &reason),
            Request::Kill(name, reason) => self.kill_here(&name, reason),
            Request::Relay(request) => self.inner().shared.relaying.request(self, &remote.node, request),
            Request::Spawn { name, function, args } => {
                self.spawned_from(&remote.node, &name, (&function, args), trace)
            }
            Request::Call(function, args) => self.called_from(&remote.node, &function, args),
            other => {
                if let Some(next) = self.answer(&remote.node, other) {
                    self.node_request(&remote.node, &next);
                }
            }
        }
    }

    /// A message of this node to its own node port, which another one may be behind. What it sends
    /// there in turn is the next one: a loop, for there can be as many inside of each other as fit
    /// into a frame.
    pub(crate) fn node_request(&self, from: &NodeId, body: &Body) {
        let mut next = self.own_request(from, body);
        while let Some(body) = next {
            next = self.own_request(from, &body);
        }
    }

    fn own_request(&self, from: &NodeId, body: &Body) -> Option<Body> {
        match Request::decode(body) {
            Ok(Request::Kill(name, reason)) => self.kill_here(&name, reason),
            Ok(Request::Spawn { name, function, args }) => {
                self.spawned_from(from, &name, (&function, args), None);
            }
            Ok(Request::Call(function, args)) => self.called_from(from, &function, args),
            Ok(
                Request::Monitor(_)
                | Request::Unmonitor(_)
                | Request::Died(..)
                | Request::Mesh(_)
                | Request::Relay(_),
            ) => {}
            Ok(request) => return self.answer(from, request),
            Err(error) => {
                if let Some(withheld) = self.may_complain() {
                    tracing::warn!(%error, withheld, "a message to the own node port was refused");
                }
            }
        }
        None
    }

    /// A request of a node is not one, or asks for too much.
    pub(crate) fn refused(&self, from: &NodeId, error: &RequestError) {
        if let Some(withheld) = self.may_complain() {
            tracing::warn!(peer = %from, %error, withheld, "a request was refused");
        }
    }

    /// Whether a line about a refused request may be logged now, and how many were withheld before.
    pub(crate) fn may_complain(&self) -> Option<u64> {
        let shared = &self.inner().shared;
        shared.refusals.take(shared.now())
    }

    /// Requests that do not depend on who asks. Gives what comes of it for the own node port.
    fn answer(&self, from: &NodeId, request: Request) -> Option<Body> {
        match request {
            Request::Send(to, body) => self.send_on(from, &to, body),
            Request::Time(to, values) => self.answer_with(from, &to, &values, &[Value::Float(clock::now())]),
            Request::Can(tag, to, values) => {
                let functions = &self.inner().functions;
                let is_run =
                    (tag == "eval" && functions.evaluator.is_some()) || functions.get(&tag).is_some();
                let known = KNOWN.contains(&tag.as_str()) || (is_run && !self.is_secure());
                // Perl's own truth values.
                self.answer_with(from, &to, &values, &[Value::name(if known { "1" } else { "" })])
            }
            Request::Eval(code, Some((to, values))) if trace::is_asked(&code) => {
                self.answer_with(from, &to, &values, &self.up_nodes_answer(&code))
            }
            Request::Eval(code, Some((to, values))) if let Some(question) = Question::read(&code) => {
                self.answer_question(from, &to, values, question);
                None
            }
            Request::Eval(code, reply) if is_restart(&code) && self.can_be_restarted() => {
                // The answer comes first: after the call this node may be ending.
                let next =
                    reply.and_then(|(to, values)| self.answer_with(from, &to, &values, &[Value::name("")]));
                self.called_from(from, RESTART, Body::default());
                next
            }
            Request::Eval(code, reply) => {
                self.evaluate(from, code, reply);
                None
            }
            _ => None,
        }
    }

    pub(super) fn answer_with(
        &self,
        from: &NodeId,
        to: &PortId,
        values: &Body,
        more: &[Value],
    ) -> Option<Body> {
        let mut body = BodyBuilder::default();
        body.body(values);
        let encoded = more.iter().try_for_each(|value| body.value(value));
        encoded.ok().and_then(|()| self.send_on(from, to, body.finish()))
    }

    /// Sends for somebody else; gives back what is for the own node port.
    pub(crate) fn send_on(&self, from: &NodeId, to: &PortId, body: Body) -> Option<Body> {
        if to.is_node() && to.node() == self.id() {
            return Some(body);
        }
        if to.node() != self.id() && from != self.id() {
            let budget = self.inner().shared.budgets.of(from);
            if !self.remotes().get_or_create(to.node()).forwards(from, &budget, body.items().len()) {
                if let Some(withheld) = self.may_complain() {
                    let waiting = budget.used();
                    tracing::warn!(peer = %from, %to, waiting, withheld, "refused to send a message for another node: too much waits");
                }
                return None;
            }
        }
        self.send_or_log(to, body);
        None
    }

    fn kill_here(&self, name: &str, reason: Reason) {
        if let Some(number) = self.number_of(name) {
            kill_from_afar(self, number, reason);
        }
    }

    fn number_of(&self, name: &str) -> Option<PortNo> {
        let (head, number) = aemp_proto::name::split_name(name);
        match self.place_here(head, number) {
            Place::Here(number) => Some(number),
            Place::Node | Place::Nowhere | Place::There(_) => None,
        }
    }

    /// Another node monitors a port here.
    fn watch(&self, remote: &Arc<Remote>, link: LinkId, name: &str) {
        let number = self.number_of(name);
        let refusal = match number.and_then(|number| Some((number, self.table().get(number)?))) {
            None => self.why_missing(&self.id().named(name)),
            Some((number, mut cell)) => {
                let mut watching = remote.watching.lock();
                if watching.link != Some(link) {
                    drop(watching.clear());
                    watching.link = Some(link);
                }
                // Our own kind asks once for a port; minimal peers may ask again, and get as many
                // answers.
                if watching.add_again(number) {
                    return;
                }
                let budget = self.inner().shared.budgets.of(&remote.node);
                match watching.add(number, self.limits().peer_monitors, &budget) {
                    Ok(()) => {
                        cell.make_extra().watchers.remote.push((remote.clone(), link));
                        return;
                    }
                    Err(full) => Reason::text("limit", full),
                }
            }
        };
        let queued = {
            let mut outbox = remote.outbox.lock();
            // What the port sent before it died may still be held, and this must not overtake it.
            match number.or_else(|| self.former_number(name)) {
                Some(number) => outbox.by(|| number.get()).died(name.into(), &refusal),
                None => outbox.request(&Request::Died(name.into(), refusal)),
            }
        };
        self.queued(remote, queued);
    }

    /// Another node withdraws a monitor of a port here.
    fn unwatch(&self, remote: &Arc<Remote>, name: &str) {
        let Some(number) = self.number_of(name) else { return };
        let Some(mut cell) = self.table().get(number) else { return };
        if remote.watching.lock().withdraw(number) {
            cell.make_extra().watchers.forget(remote);
        }
    }

    /// A port of another node, which we monitor, is gone.
    fn died_there(&self, remote: &Arc<Remote>, name: &str, reason: &Reason) {
        let port = remote.node.named(name);
        let monitors = remote.outbox.lock().died(&port);
        if monitors.is_empty() {
            return;
        }
        let telling: NewsTelling = self.telling(remote);
        for monitor in monitors {
            monitor.fire_there(self, reason.clone(), None, &telling);
        }
    }
}
