//! Messages that came one after the other for one port: one lock of the port serves them all.
//!
//! Only what stands together is put together: what one port sends to several ports of a node lies
//! in their mailboxes in that order, so who is told of something can rely on what was sent before.

use std::ops::Range;

use aemp_proto::wire::{Found, Span};
use bytes::Bytes;

use super::pump::PROBE_PORT;
use crate::node::Node;
use aemp_ports::deliver::deliver_spans;
use aemp_ports::port_no::PortNo;

/// Messages that are put into a mailbox at once. Its lock is held for as long as that takes.
const LONGEST: usize = 256;

/// The messages of a batch that wait to be delivered.
#[derive(Default)]
pub(super) struct Streak {
    /// Where in the batch the name of their port is; empty if there are none.
    name: Range<usize>,
    /// `None` if there is no such port.
    port: Option<PortNo>,
    spans: Vec<Span>,
    /// How many were delivered, or had no port.
    delivered: u64,
}

impl Streak {
    /// Adds a message; `port` is asked for the port with a name when that is another one than
    /// before.
    #[inline]
    pub(super) fn add(
        &mut self,
        node: &Node,
        batch: &Bytes,
        found: Found,
        port: impl FnOnce(&str) -> Option<PortNo>,
    ) {
        if (!found.same || self.name.is_empty()) && batch[found.port.clone()] != batch[self.name.clone()] {
            self.deliver(node, batch);
            self.port = std::str::from_utf8(&batch[found.port.clone()]).ok().and_then(port);
            self.name = found.port;
        }
        self.spans.push(found.span);
        if self.spans.len() == LONGEST {
            self.put_in(node, batch);
        }
    }

    /// Delivers what waits. The next message may be of another batch.
    pub(super) fn deliver(&mut self, node: &Node, batch: &Bytes) {
        self.put_in(node, batch);
        self.name = 0..0;
    }

    /// There is no such port here.
    #[cold]
    fn nowhere(&mut self, node: &Node, batch: &Bytes) {
        let name = std::str::from_utf8(&batch[self.name.clone()]).unwrap_or_default();
        // An answer to a probe is for no port.
        if name == PROBE_PORT {
            return self.spans.clear();
        }
        node.undeliverable_spans(&node.id().named(name), batch, &mut self.spans);
    }

    /// How many messages were delivered, or had no port.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    fn put_in(&mut self, node: &Node, batch: &Bytes) {
        self.delivered += self.spans.len() as u64;
        match self.port {
            // The reader never waits: a port that is behind is the business of its limit.
            Some(port) if !self.spans.is_empty() => deliver_spans(node, port, batch, &mut self.spans),
            None if !self.spans.is_empty() => self.nowhere(node, batch),
            _ => self.spans.clear(),
        }
    }
}
