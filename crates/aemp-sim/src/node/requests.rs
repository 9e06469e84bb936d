//! What other nodes ask of this one.

use aemp_ports::{Host as _, PortNo};
use aemp_proto::kernel::LinkId;
use aemp_proto::name::split_name;
use aemp_proto::wire::{Body, Request};
use aemp_proto::{NodeId, PortId, Reason};

use super::Node;
use super::driver::Told;
use super::verbs::{Letter, sender};
use crate::cx::Cx;
use crate::options::Sabotage;

impl Node {
    /// A request that came over this link.
    pub(super) fn remote_request(&mut self, peer: &NodeId, link: LinkId, body: &Body, cx: &mut Cx) {
        let Ok(request) = Request::decode(body) else { return };
        match request {
            Request::Monitor(name) => self.watch_port(peer, link, &name, cx),
            Request::Unmonitor(name) => self.unwatch_port(peer, &name, cx),
            Request::Died(name, reason) => self.died_there(peer, &name, &reason, cx),
            Request::Kill(name, reason) => {
                if let Some(number) = self.named(&name) {
                    self.kill_here(number, reason, cx);
                }
            }
            Request::Relay(request) => {
                self.relay.request(peer, request, cx.now);
                self.go_on(cx);
            }
            Request::Mesh(request) => self.tell(Told::Request(peer.clone(), request), cx),
            Request::Spawn { name, function, .. } => self.spawned(&name, function, cx),
            Request::Send(to, body) => self.forward(&to, &body, cx),
            _ => {}
        }
    }

    /// Sends on what another node wants to be sent from here.
    fn forward(&mut self, to: &PortId, body: &Body, cx: &mut Cx) {
        if to.node() != &self.id {
            let queued = self.remote(to.node(), cx).outbox.send(to, body);
            self.queued(to.node(), queued, cx);
        }
    }

    fn named(&self, name: &str) -> Option<PortNo> {
        let (head, number) = split_name(name);
        self.ports.number(head, number)
    }

    /// Another node monitors a port here.
    fn watch_port(&mut self, peer: &NodeId, link: LinkId, name: &str, cx: &mut Cx) {
        let number = self.named(name);
        if let Some(number) = number
            && self.ports.exists(number)
        {
            if let Some(mut cell) = self.ports.host.ports().table.get(number) {
                cell.make_extra().watchers.remote.push((peer.clone(), link));
            }
            let watching = &mut self.remote(peer, cx).watching;
            if watching.link != Some(link) {
                watching.link = Some(link);
                watching.ports.clear();
            }
            watching.ports.insert(number);
            return;
        }
        let port = self.id.named(name);
        let reason = self.ports.why_missing(&port);
        // What the port sent before it died may still be held.
        let queued = self.remote(peer, cx).outbox.by(|| sender(&port)).died(name.into(), &reason);
        self.queued(peer, queued, cx);
    }

    /// Another node withdraws its monitors of a port here.
    fn unwatch_port(&mut self, peer: &NodeId, name: &str, cx: &mut Cx) {
        let Some(number) = self.named(name) else { return };
        self.forget_watcher(number, peer);
        self.remote(peer, cx).watching.ports.remove(&number);
    }

    fn forget_watcher(&self, number: PortNo, peer: &NodeId) {
        if let Some(mut cell) = self.ports.host.ports().table.get(number)
            && let Some(extra) = cell.extra_mut()
        {
            extra.watchers.forget(peer);
        }
    }

    /// What another node monitors here is forgotten, for its connection is gone.
    pub(super) fn forget_watchers(&mut self, peer: &NodeId, cx: &mut Cx) {
        let watching = std::mem::take(&mut self.remote(peer, cx).watching);
        for number in watching.ports {
            self.forget_watcher(number, peer);
        }
    }

    /// A port has ended that another node watched over this link.
    pub(super) fn exited(
        &mut self,
        (number, port): (PortNo, &PortId),
        (peer, link): (&NodeId, LinkId),
        reason: &Reason,
        cx: &mut Cx,
    ) {
        let remote = self.remote(peer, cx);
        remote.watching.ports.remove(&number);
        if remote.outbox.link() == Some(link) {
            let queued = remote.outbox.by(|| sender(port)).died(port.name().to_string(), reason);
            self.queued(peer, queued, cx);
        }
    }

    /// Another node makes a port here.
    fn spawned(&mut self, name: &str, function: String, cx: &mut Cx) {
        if self.named(name).is_some() || self.ports.is_taken(name) {
            return;
        }
        let port = self.id.named(name);
        cx.born.push(port.clone());
        self.open_nascent(Some(port), function, cx);
    }

    /// A message for a port that never was here.
    pub(super) fn astray(&mut self, port: &str, body: &Body, cx: &mut Cx) {
        let Some(letter) = body.decode().ok().and_then(|values| Letter::read(&values)) else { return };
        if cx.sabotage(Sabotage::OldIncarnation, 1) {
            let port = self.id.named(port);
            self.read_letter((&port, PortNo::FIRST), &letter, None, cx);
        }
    }
}
