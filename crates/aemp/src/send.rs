//! Sending: which way a message takes, into a mailbox or into an outbox.

use std::fmt;
use std::sync::Arc;

use aemp_proto::outbox::{Loss, Outbox, Queued, tag_of};
use aemp_proto::{Body, PortId};
use bytes::Bytes;

use crate::message::{Aside, Destination, IntoMessage};
use crate::node::{Node, Place};
use crate::owned::{Sending, own};
use crate::remote::Remote;
use crate::runtime::shutdown::SHUT_DOWN;
use crate::runtime::{Event, sender};
use crate::send_error::SendError;
use aemp_ports::Host as _;
use aemp_ports::batch::at_end_of_batch;
use aemp_ports::deliver::deliver;
use aemp_ports::monitor::Monitor;
use aemp_ports::pressure::Pressure;

impl Node {
    /// Sends a message. It arrives in the order in which one sender sends to one port, or it may be
    /// lost together with all later ones until the monitors of the port have fired; see
    /// `SEMANTICS.md`. Sending to a port that does not exist does nothing. Never waits.
    ///
    /// # Errors
    ///
    /// The message cannot be encoded or is too large for a frame; nothing was sent.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aemp::{AnyMessage, Node, PortId, SendError};
    /// fn example(node: &Node, port: &PortId, message: AnyMessage) -> Result<(), SendError> {
    ///     node.send(port, ("resize", 640, 480))?; // a tuple, or a type that derives `Message`
    ///     node.send(port, message) // or untyped values
    /// }
    /// ```
    #[doc(alias = "snd")]
    #[doc(alias = "tell")]
    #[doc(alias = "cast")]
    #[inline]
    pub fn send<M: IntoMessage>(
        &self,
        to: &(impl Destination<M> + ?Sized),
        message: M,
    ) -> Result<(), SendError> {
        self.send_under_pressure(to.port_id(), message).map(drop)
    }

    /// Sends, and says whether the receiver is behind. Inlined, so that the message is made where
    /// it will lie.
    #[inline(always)]
    pub(crate) fn send_under_pressure<M: IntoMessage>(
        &self,
        to: &PortId,
        message: M,
    ) -> Result<Option<Pressure<Node>>, SendError> {
        match self.own_number(to) {
            Some(number) => Ok(deliver(self, number, message)?),
            None => self.send_elsewhere(to, Aside(message)),
        }
    }

    /// Sends to a port whose ID came from somewhere else.
    #[inline(never)]
    fn send_elsewhere<M: IntoMessage>(
        &self,
        to: &PortId,
        Aside(message): Aside<M>,
    ) -> Result<Option<Pressure<Node>>, SendError> {
        own(|owned| match owned.sending.try_borrow_mut() {
            Ok(mut sending) => self.send_with(&mut sending, to, message),
            // Encoding another message runs code of its type, which sends this one.
            Err(_) => self.send_with(&mut Sending::new(), to, message),
        })
    }

    #[inline]
    fn send_with<M: IntoMessage>(
        &self,
        sending: &mut Sending,
        to: &PortId,
        message: M,
    ) -> Result<Option<Pressure<Node>>, SendError> {
        if let Some(remote) = &sending.last
            && remote.is(self.remotes(), to.node())
            && !self.ports().needs_slow_path()
        {
            return self.send_there(remote, &mut sending.items, to, &message);
        }
        match self.place_of(to) {
            Place::Here(number) => Ok(deliver(self, number, message)?),
            Place::Nowhere => {
                self.undeliverable_body(to.clone(), &message.encode()?);
                Ok(None)
            }
            Place::Node => {
                self.node_request(self.id(), &message.encode()?);
                Ok(None)
            }
            Place::There(node) => {
                let remote = self.remotes().get_or_create(node);
                if self.ports().needs_slow_path()
                    && let Some(sent) = self.send_followed(&remote, to, &message)
                {
                    return sent;
                }
                let sent = self.send_there(&remote, &mut sending.items, to, &message);
                sending.last = Some(remote);
                sent
            }
        }
    }

    /// Sends a message with its place in a trace. `None` if it is not followed.
    #[cold]
    fn send_followed(
        &self,
        remote: &Arc<Remote>,
        to: &PortId,
        message: &impl IntoMessage,
    ) -> Option<Result<Option<Pressure<Node>>, SendError>> {
        let body = message.encode().ok()?;
        let (trace, _) = self.follow(to, Some(&remote.node), || tag_of(&body))?;
        Some(self.append_there(remote, to, (body.count(), body.items()), |outbox| {
            outbox.by(sender::current).send_traced(to, &body, trace)
        }))
    }

    fn send_there(
        &self,
        remote: &Arc<Remote>,
        items: &mut Vec<u8>,
        to: &PortId,
        message: &impl IntoMessage,
    ) -> Result<Option<Pressure<Node>>, SendError> {
        if let Some(body) = message.encoded() {
            return self.append_there(remote, to, (body.count(), body.items()), |outbox| {
                outbox.by(sender::current).send(to, body)
            });
        }
        items.clear();
        let count = message.encode_into(items)?;
        if Outbox::<Arc<Monitor<Node>>>::shares(items.len()) {
            let body = Body::new(count, std::mem::replace(items, remote.spare.take()).into());
            return self.append_there(remote, to, (body.count(), body.items()), |outbox| {
                outbox.by(sender::current).send(to, &body)
            });
        }
        self.append_there(remote, to, (count, items), |outbox| {
            outbox.by(sender::current).send_items(to, count, items)
        })
    }

    /// Appends a message with these values to the outbox of a node, if the node can read it.
    fn append_there(
        &self,
        remote: &Arc<Remote>,
        to: &PortId,
        (count, items): (u32, &[u8]),
        append: impl FnOnce(&mut Outbox<Arc<Monitor<Node>>>) -> Queued,
    ) -> Result<Option<Pressure<Node>>, SendError> {
        let (queued, backlog) = {
            let mut outbox = remote.outbox.lock();
            outbox.check(to, items).map_err(|refused| {
                let unsent = Body::new(count, Bytes::copy_from_slice(items));
                SendError::refused(&remote.node, refused, unsent)
            })?;
            (append(&mut outbox), outbox.backlog())
        };
        self.queued(remote, queued);
        Ok(remote.pressure(backlog))
    }

    /// Sends something that nobody waits for the result of.
    pub(crate) fn send_or_log(&self, to: &PortId, message: impl IntoMessage) {
        if let Err(error) = self.send(to, message)
            && let Some(withheld) = self.may_complain()
        {
            tracing::error!(%to, %error, withheld, "a message was not sent");
        }
    }

    /// A message to a port of another node was not sent, and its sender is not told: its monitors
    /// on the port are.
    pub(crate) fn lose(&self, to: &PortId, error: &SendError) {
        if let Place::There(node) = self.place_of(to)
            && let Some(remote) = self.remotes().find(node)
        {
            let (losses, queued) = remote.outbox.lock().lose(to);
            self.queued(&remote, queued);
            self.lost(&remote, to, losses, error);
        }
    }

    /// Something for a port of another node is lost, which holds back what follows until these
    /// monitors have fired.
    pub(crate) fn lost(
        &self,
        remote: &Arc<Remote>,
        to: &PortId,
        losses: Vec<Loss<Arc<Monitor<Node>>>>,
        why: &dyn fmt::Display,
    ) {
        if let Some(withheld) = self.may_complain() {
            tracing::warn!(%to, %why, withheld, "a message was lost: the node cannot read it");
        }
        let telling = self.telling(remote);
        self.fire_losses(remote, losses, format_args!("a message was lost: {why}"), &telling);
    }

    /// Something was dropped: remembers what it was.
    #[cold]
    fn forget_dropped(&self, remote: &Remote) {
        let dropped = remote.outbox.lock().take_dropped();
        self.not_sent(dropped);
    }

    /// What must be done after something was put into the outbox of a node.
    pub(crate) fn queued(&self, remote: &Arc<Remote>, queued: Queued) {
        let event = match queued {
            Queued::Behind => return,
            Queued::Dropped => return self.forget_dropped(remote),
            Queued::Wake if at_end_of_batch(self, || remote.is_direct().then(|| remote.clone())) => return,
            Queued::Wake => return remote.wake.notify_one(),
            Queued::Bulk => return remote.flush(self),
            Queued::Wanted => {
                remote.counts.wanted(self.inner().shared.now());
                Event::Wanted(remote.node.clone())
            }
            Queued::Overflow => Event::Overflow(remote.node.clone()),
            Queued::Refused => Event::Refused(remote.node.clone()),
        };
        self.event(event);
        if self.inner().shared.ending.is_parting() {
            // Nobody connects or breaks any more. Not here, for the caller may hold locks.
            let (node, remote) = (self.clone(), remote.clone());
            self.run_elsewhere(move || {
                node.break_remote(&remote, SHUT_DOWN);
            });
        }
    }
}
