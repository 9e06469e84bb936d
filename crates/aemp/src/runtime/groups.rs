//! Messages of one batch by the ports that they are for: one lock of a port serves as many as there are.
//!
//! The order of what comes for one port stays. Messages for different ports change places within a batch, as they may on different
//! connections; whatever else comes on the link waits until all of them are in the mailboxes.

use std::ops::Range;

use aemp_proto::wire::{Found, Span};
use bytes::Bytes;

use crate::node::Node;

/// Messages for one port that are put into its mailbox at once. Its lock is held for as long as that takes.
const RUN: usize = 256;

/// Ports whose messages are told apart.
const GROUPS: usize = 8;

/// The messages that wait to be delivered.
#[derive(Default)]
pub(super) struct Groups {
    /// The first `used` ones have a port.
    groups: Vec<Group>,
    used: usize,
    /// The one that the last message was for.
    last: usize,
}

#[derive(Default)]
struct Group {
    /// Where in the batch the name of the port is.
    name: Range<usize>,
    /// `None` if there is no such port.
    port: Option<u64>,
    spans: Vec<Span>,
}

impl Groups {
    /// Adds a message; `port` is asked for the port with a name when that is new.
    #[inline]
    pub(super) fn add(
        &mut self,
        node: &Node,
        batch: &Bytes,
        found: Found,
        port: impl FnOnce(&str) -> Option<u64>,
    ) {
        if !found.same || self.used == 0 {
            self.turn_to(node, batch, found.port, port);
        }
        let group = &mut self.groups[self.last];
        group.spans.push(found.span);
        if group.spans.len() == RUN {
            group.deliver(node, batch);
        }
    }

    /// Delivers everything.
    pub(super) fn deliver(&mut self, node: &Node, batch: &Bytes) {
        self.groups[..self.used].iter_mut().for_each(|group| group.deliver(node, batch));
        self.used = 0;
    }

    fn turn_to(
        &mut self,
        node: &Node,
        batch: &Bytes,
        name: Range<usize>,
        port: impl FnOnce(&str) -> Option<u64>,
    ) {
        let octets = &batch[name.clone()];
        if let Some(known) =
            self.groups[..self.used].iter().position(|group| batch[group.name.clone()] == *octets)
        {
            self.last = known;
            return;
        }
        if self.used == GROUPS {
            self.deliver(node, batch);
        }
        if self.used == self.groups.len() {
            self.groups.push(Group::default());
        }
        let group = &mut self.groups[self.used];
        group.port = std::str::from_utf8(octets).ok().and_then(port);
        group.name = name;
        self.last = self.used;
        self.used += 1;
    }
}

impl Group {
    fn deliver(&mut self, node: &Node, batch: &Bytes) {
        match self.port {
            // The reader never waits: a port that is behind is the business of its limit.
            Some(port) => node.deliver_spans(port, batch, &mut self.spans),
            None => self.spans.clear(),
        }
    }
}
