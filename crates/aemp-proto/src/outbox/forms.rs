//! What the peer can read: what has no form in its framing costs the sender an error, and nobody
//! else anything.
//!
//! While a link is attached, the framing of its peer is known, and a message is checked before it
//! is appended. What waits for a connection is checked when that is attached. A message that is
//! refused then is a hole in what its port gets, so it counts as a loss for this port: all that
//! follows for it is dropped, and its monitors fire. Requests are never a reason to lose anything:
//! the reason of a death is replaced, and a database entry is left out.

use std::collections::BTreeMap;

use thiserror::Error;

use super::{BULK, Loss, Outbox, Queued, State, nobody};
use crate::db::fit::fit;
use crate::link_id::LinkId;
use crate::wire::forms;
use crate::wire::{Body, EncodeError, Framing, MeshRequest, Records, Request};
use crate::{PortId, Reason};

/// Why the peer cannot be sent a message. Nothing was queued.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// It is larger than a frame to another node may be.
    #[error("the message has {size} bytes; a frame to another node may have {limit}")]
    TooLarge {
        /// Bytes of the message in the framing of the peer.
        size: usize,
        /// Bytes that it may have.
        limit: usize,
    },
    /// A value has no form in the framing of the peer.
    #[error(transparent)]
    NoForm(#[from] EncodeError),
}

/// What [`Outbox::attach`] found in the queue.
#[derive(Debug)]
pub struct Attached<M> {
    /// Whether something waits for the link.
    pub waiting: bool,
    /// Ports for which something waited that the peer cannot read.
    pub lost: Vec<LostPort<M>>,
    /// How many database entries were left out.
    pub left_out: usize,
}

/// A port that lost what waited for it, from some message on.
#[derive(Debug)]
pub struct LostPort<M> {
    /// The port.
    pub port: PortId,
    /// Why the peer cannot be sent the first message that is lost.
    pub why: Refused,
    /// The monitors on the port, to fire.
    pub fires: Vec<Loss<M>>,
}

impl<M> Outbox<M> {
    /// From now on this link drains the outbox, and its peer reads this framing.
    pub fn attach(&mut self, link: LinkId, framing: Framing) -> Attached<M> {
        self.state = State::Attached(link);
        self.framing = framing;
        let (lost, left_out) = match self.can_be_read() {
            true => Default::default(),
            false => self.rewrite(),
        };
        Attached { waiting: !self.records.is_empty(), lost, left_out }
    }

    /// Checks that the peer can be sent a message with these values, as far as that is known: the
    /// framing of the peer is known while a link is attached.
    ///
    /// # Errors
    ///
    /// It cannot.
    #[inline]
    pub fn check(&self, port: &PortId, items: &[u8]) -> Result<(), Refused> {
        match self.framing {
            Framing::Native => self.check_len(items.len()),
            _ => self.check_form(&port.name().to_string(), items),
        }
    }

    /// What the peer of the attached link reads; [`Framing::Native`] while there is no link.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Appends a request of the database. An entry that the peer cannot read is left out, and what
    /// then is too large goes in several messages. Gives how many entries were left out as well.
    pub fn mesh(&mut self, request: MeshRequest) -> (Queued, usize) {
        let (bodies, left_out) = self.fit(request);
        let mut queued = Queued::Dropped;
        for body in bodies {
            let outcome = self.append_request(&Request::Nothing, &body, nobody);
            // A writer or a connection is asked for once, for the first one; an overflow must be
            // told.
            if outcome == Queued::Overflow || matches!(queued, Queued::Dropped | Queued::Behind) {
                queued = outcome;
            }
        }
        (queued, left_out)
    }

    fn fit(&self, request: MeshRequest) -> (Vec<Body>, usize) {
        let check = |body: &Body| self.check_form("", body.items()).is_ok();
        fit(request, self.limits.message, &check)
    }

    /// The body of a request. The reason of a death is made by users and may have no form, or too
    /// large a one; the death must be told all the same.
    pub(super) fn encode(&self, request: &Request) -> Result<Body, Refused> {
        let body = |request: &Request| {
            let body = request.encode()?;
            match request {
                // Pieces of what is carried have limits of their own, and without one there would
                // be a hole.
                Request::Relay(_) => Ok(body),
                _ => self.check_form("", body.items()).map(|()| body),
            }
        };
        let excuse = |error| Reason::text("bad_reason", error);
        body(request).or_else(|error| match request {
            Request::Kill(name, _) => body(&Request::Kill(name.clone(), excuse(error))),
            Request::Died(name, _) => body(&Request::Died(name.clone(), excuse(error))),
            _ => Err(error),
        })
    }

    fn check_len(&self, size: usize) -> Result<(), Refused> {
        let limit = self.limits.message;
        if size > limit { Err(Refused::TooLarge { size, limit }) } else { Ok(()) }
    }

    fn check_form(&self, name: &str, items: &[u8]) -> Result<(), Refused> {
        self.check_len(items.len())?;
        self.check_len(forms::len_in(self.framing, name, items)?)
    }

    /// Whether the peer can read all that waits.
    fn can_be_read(&self) -> bool {
        let mut all = true;
        if self.framing != Framing::Native {
            self.records.each(|name, body| all &= self.check_form(name, body.items()).is_ok());
        }
        all
    }

    /// Leaves in the queue what the peer can read. Gives the ports that lost something, and how
    /// many database entries were left out.
    fn rewrite(&mut self) -> (Vec<LostPort<M>>, usize) {
        let (mut kept, mut lost, mut left_out) = (Vec::new(), BTreeMap::new(), 0);
        self.records.each(|name, body| self.sift(name, body, &mut kept, &mut lost, &mut left_out));
        let mut records = Records::default();
        let (mut frames, mut requests) = (0, 0);
        for (name, body) in kept {
            let is_monitor = name.is_empty() && monitored(&body).is_some_and(|port| lost.contains_key(&port));
            // The monitors of a port that lost something fire here: the peer need not know of them.
            if !is_monitor && records.push(frames + 1, &name, &body).is_ok() {
                frames += 1;
                requests += u64::from(name.is_empty());
            }
        }
        self.records = records;
        self.counting.lost += (self.frames as u64).saturating_sub(frames);
        self.counting.requests = requests;
        (self.frames, self.next_seq, self.bulk) = (frames as usize, frames + 1, BULK);
        let lost = lost.into_iter().map(|(name, why)| {
            let port = if name.is_empty() { self.node.control_port() } else { self.node.named(&name) };
            LostPort { fires: self.take_losses(&port), port, why }
        });
        (lost.collect(), left_out)
    }

    /// Decides about one message that waits.
    fn sift(
        &self,
        name: &str,
        body: Body,
        kept: &mut Vec<(String, Body)>,
        lost: &mut BTreeMap<String, Refused>,
        left_out: &mut usize,
    ) {
        let mut keep = |body| kept.push((name.into(), body));
        let request = if name.is_empty() { Request::decode(&body).ok() } else { None };
        let port = match &request {
            Some(Request::Kill(port, _) | Request::Spawn { name: port, .. }) => port.clone(),
            _ => name.into(),
        };
        if lost.contains_key(&port) && !matches!(request, Some(Request::Died(..) | Request::Mesh(_))) {
            return; // behind what is lost
        }
        match (self.check_form(name, body.items()), request) {
            (Ok(()), _) => keep(body),
            (Err(_), Some(Request::Mesh(request))) => {
                let (bodies, entries) = self.fit(request);
                *left_out += entries;
                bodies.into_iter().for_each(keep);
            }
            (Err(_), Some(request @ (Request::Died(..) | Request::Kill(..)))) => {
                self.encode(&request).into_iter().for_each(keep);
            }
            (Err(why), _) => drop(lost.insert(port, why)),
        }
    }
}

/// The port that a message to the node port sets a monitor on, or withdraws one from.
fn monitored(body: &Body) -> Option<String> {
    match Request::decode(body) {
        Ok(Request::Monitor(port) | Request::Unmonitor(port)) => Some(port),
        _ => None,
    }
}
