//! What an outbox counts for people: what was written, and what was lost.
//!
//! Nothing is counted for each message. What was written follows from the numbers that messages
//! have anyway; the rest is counted where something is lost, or a request is queued.

use std::collections::VecDeque;

use super::{Outbox, Signal};
use crate::PortId;
use crate::wire::Body;

/// The messages that were lost last, of which a description is kept.
const DESCRIBED_MAX: usize = 100;

/// Bytes that are shown of a tag.
const TAG_MAX: usize = 64;

/// What became of what was put into an outbox in one epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages to ports that were taken to be written. While a large message is on its way in
    /// parts the number may be too small by what waits behind it.
    pub messages: u64,
    /// Requests that were taken to be written: kills, monitors, deaths, spawns, the database.
    pub requests: u64,
    /// What was queued and is lost, because the outbox broke or the peer cannot read it.
    pub lost: u64,
    /// What was sent to a gated port, whose monitors had not all been told of a loss, and is lost.
    pub gated: u64,
    /// What was sent after the queue had passed its limit and before the outbox broke.
    pub refused: u64,
}

/// Why a message did not leave the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It was queued when the outbox broke.
    Broken,
    /// Its port was gated.
    Gated,
    /// The queue had passed its limit.
    Refused,
}

/// A message that did not leave the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The port that it was for.
    pub port: PortId,
    /// The first value, if that is a string; not more than the beginning of it.
    pub tag: Option<String>,
    /// Why.
    pub why: Why,
}

/// The counts as they are kept.
#[derive(Debug, Default)]
pub(super) struct Counting {
    /// Requests that are queued, and those that were taken.
    pub(super) requests: u64,
    requests_taken: u64,
    pub(super) lost: u64,
    gated: u64,
    refused: u64,
    dropped: VecDeque<Dropped>,
}

/// The tag of a message, cut to what is shown.
pub fn tag_of(body: &Body) -> Option<String> {
    let mut tag = body.first_name()?.into_owned();
    if tag.len() > TAG_MAX {
        let end = (0..=TAG_MAX).rev().find(|end| tag.is_char_boundary(*end)).unwrap_or(0);
        tag.truncate(end);
    }
    Some(tag)
}

impl Counting {
    /// What was queued is taken.
    pub(super) fn take(&mut self) {
        self.requests_taken += std::mem::take(&mut self.requests);
    }

    /// Describes a message that is lost.
    fn describe(&mut self, dropped: Dropped) {
        if self.dropped.len() == DESCRIBED_MAX {
            self.dropped.pop_front();
        }
        self.dropped.push_back(dropped);
    }

    /// A signal to a gated port is lost.
    pub(super) fn at_gate(&mut self, port: &PortId, signal: &Signal) {
        self.gated += 1;
        if let Signal::Message(body, _) = signal {
            self.describe(Dropped { port: port.clone(), tag: tag_of(body), why: Why::Gated });
        }
    }

    /// Something was sent after the queue had passed its limit.
    #[cold]
    pub(super) fn refuse(&mut self, port: &PortId) {
        self.refused += 1;
        if !port.is_node() {
            self.describe(Dropped { port: port.clone(), tag: None, why: Why::Refused });
        }
    }

    /// The counts of the epoch that ends, in which `taken` messages and requests were taken, and a
    /// new beginning.
    pub(super) fn end(&mut self, taken: u64) -> Counts {
        let counts = self.counts(taken);
        let dropped = std::mem::take(&mut self.dropped);
        *self = Counting { dropped, ..Counting::default() };
        counts
    }

    fn counts(&self, taken: u64) -> Counts {
        Counts {
            messages: taken.saturating_sub(self.requests_taken),
            requests: self.requests_taken,
            lost: self.lost,
            gated: self.gated,
            refused: self.refused,
        }
    }
}

impl<M> Outbox<M> {
    /// What went through the outbox since it last broke.
    pub fn counts(&self) -> Counts {
        self.counting.counts(self.taken())
    }

    /// Messages that were lost and have not been asked for, at most the last hundred.
    pub fn take_dropped(&mut self) -> VecDeque<Dropped> {
        std::mem::take(&mut self.counting.dropped)
    }

    /// How many messages and requests were taken in this epoch.
    pub fn taken(&self) -> u64 {
        (self.next_seq - 1).saturating_sub(self.frames as u64)
    }
}

impl<M> super::Broken<M> {
    /// The messages to ports that were queued, at most the first hundred of them; those that waited
    /// for a gate or in parts are not among them.
    pub fn dropped(&self) -> Vec<Dropped> {
        let mut dropped = Vec::new();
        self.lost.each_while(|name, body| {
            if !name.is_empty() {
                dropped.push(Dropped { port: self.node.named(name), tag: tag_of(&body), why: Why::Broken });
            }
            dropped.len() < DESCRIBED_MAX
        });
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::super::{OutboxLimits, Queued};
    use super::*;
    use crate::wire::{Framing, Records};
    use crate::{LinkId, NodeId, Reason, Value};

    fn outbox(limits: OutboxLimits) -> (Outbox<u64>, PortId) {
        let node = NodeId::new("far").expect("a node ID");
        let port = node.named("port");
        (Outbox::new(node, limits), port)
    }

    fn body(tag: &str) -> Body {
        Body::encode(&[Value::name(tag)]).expect("a body")
    }

    #[test]
    fn what_was_taken_is_sent_and_the_rest_is_lost_when_the_outbox_breaks() {
        let (mut outbox, port) = outbox(OutboxLimits::default());
        let link = LinkId::accepted(1);
        outbox.attach(link, Framing::Native);
        let _ = outbox.monitor(&port, 1, 7, 0);
        for _ in 0..3 {
            let _ = outbox.send(&port, &body("a"));
        }
        assert_eq!(outbox.counts(), Counts::default(), "nothing is taken");
        let mut records = Records::default();
        assert!(outbox.take(link, &mut records));
        let _ = outbox.kill(&port, &Reason::NORMAL);
        let _ = outbox.send(&port, &body("b"));
        let sent = Counts { messages: 3, requests: 1, ..Counts::default() };
        assert_eq!(outbox.counts(), sent);
        let broken = outbox.break_now();
        assert_eq!(broken.counts, Counts { lost: 2, ..sent });
        let lost = Dropped { port: port.clone(), tag: Some("b".into()), why: Why::Broken };
        assert_eq!(broken.dropped(), [lost]);
        // The port is gated now.
        assert_eq!(outbox.send(&port, &body("c")), Queued::Dropped);
        assert_eq!(outbox.counts(), Counts { gated: 1, ..Counts::default() });
        assert_eq!(outbox.take_dropped(), [Dropped { port, tag: Some("c".into()), why: Why::Gated }]);
    }

    #[test]
    fn what_comes_behind_the_limit_is_refused() {
        let (mut outbox, port) = outbox(OutboxLimits { waiting: 1, ..OutboxLimits::default() });
        let outcomes = [(); 4].map(|()| outbox.send(&port, &body("a")));
        assert_eq!(outcomes, [Queued::Wanted, Queued::Overflow, Queued::Dropped, Queued::Dropped]);
        assert_eq!(outbox.take_dropped().len(), 2);
        assert_eq!(outbox.break_now().counts, Counts { refused: 2, lost: 2, ..Counts::default() });
    }

    #[test]
    fn a_long_tag_is_cut_between_letters() {
        let long = "\u{20ac}".repeat(100);
        let tag = tag_of(&body(&long)).expect("a tag");
        assert!(tag.len() <= TAG_MAX && long.starts_with(&tag) && !tag.is_empty());
        assert_eq!(tag_of(&Body::default()), None);
    }
}
