//! Messages that are not delivered, as they are met on the way.

use std::any::type_name;

use aemp_proto::outbox::{Dropped, tag_of};
use aemp_proto::wire::Span;
use aemp_proto::{Body, PortId};
use bytes::Bytes;

use super::lost::{Lost, Tag, reason};
use crate::message::{Aside, IntoMessage};
use crate::node::Node;
use aemp_ports::{Host as _, PortNo};

impl Node {
    fn lost_messages_here(&self) -> &Lost {
        &self.inner().shared.counts.lost
    }

    /// A message for a port of this node came too late.
    #[cold]
    #[inline(never)]
    pub(crate) fn undeliverable<M: IntoMessage>(&self, number: PortNo, Aside(message): Aside<M>) {
        let tag = match message.encoded() {
            Some(body) => tag_of(body).into(),
            // Its own code would have to run to tell more.
            None => Tag::Type(type_name::<M>()),
        };
        self.lost_messages_here().missing(self.own_port(number), tag);
    }

    /// A message for a name of this node that no port has.
    #[cold]
    #[inline(never)]
    pub(crate) fn undeliverable_body(&self, port: PortId, body: &Body) {
        self.lost_messages_here().missing(port, tag_of(body).into());
    }

    /// Messages of another node for a port that is not there.
    #[cold]
    #[inline(never)]
    pub(crate) fn undeliverable_spans(&self, port: &PortId, batch: &Bytes, spans: &mut Vec<Span>) {
        for span in spans.drain(..) {
            self.undeliverable_body(port.clone(), &span.body(batch));
        }
    }

    /// Messages that did not leave the node. They are counted where they were lost.
    pub(crate) fn not_sent(&self, dropped: impl IntoIterator<Item = Dropped>) {
        for Dropped { port, tag, why } in dropped {
            self.lost_messages_here().remember(port, tag.into(), reason(why));
        }
    }
}
