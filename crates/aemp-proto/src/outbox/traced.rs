//! Messages and requests that have a place in a trace: it goes with them, wherever they are held,
//! to a peer that reads native frames. Others get the same bytes as ever.

use super::gates::Signal;
use super::{Outbox, Queued, Refused, Sender};
use crate::wire::{Body, Request};
use crate::{PortId, TraceContext};

impl<M> Outbox<M> {
    #[cold]
    pub(super) fn send_traced_from(
        &mut self,
        port: &PortId,
        body: &Body,
        trace: TraceContext,
        sender: Option<u64>,
    ) -> Queued {
        if self.gates.is_closed(port) {
            return self.at_gate(port, sender, || Signal::Message(body.clone(), Some(trace)));
        }
        if body.items().len() >= self.cut_from {
            return self.append_aside(port, body, None, (sender, Some(trace)));
        }
        self.append(port, |records, seq, name| records.push_traced(seq, name, body, trace))
    }

    #[cold]
    fn request_traced_from(
        &mut self,
        request: &Request,
        body: &Body,
        trace: TraceContext,
        sender: Option<u64>,
    ) -> Queued {
        let node_port = self.node.control_port();
        self.counting.requests += 1;
        if body.items().len() >= self.cut_from {
            return self.append_aside(&node_port, body, Some(request), (sender, Some(trace)));
        }
        self.append(&node_port, |records, seq, name| records.push_traced(seq, name, body, trace))
    }
}

impl<M, S: FnOnce() -> u64> Sender<'_, M, S> {
    /// As [`Outbox::send`], with the place of the message in a trace.
    #[cold]
    pub fn send_traced(self, port: &PortId, body: &Body, trace: TraceContext) -> Queued {
        self.outbox.send_traced_from(port, body, trace, Some((self.sender)()))
    }

    /// As [`Sender::request`], for one that makes a port, with its place in a trace.
    ///
    /// # Errors
    ///
    /// As [`Sender::request`].
    #[cold]
    pub fn request_traced(self, request: &Request, trace: TraceContext) -> Result<Queued, Refused> {
        let body = self.outbox.encode(request)?;
        Ok(self.outbox.request_traced_from(request, &body, trace, Some((self.sender)())))
    }
}
