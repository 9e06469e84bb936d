//! Into a mailbox: messages of this node and of others, those of calls, and what follows for the
//! port and for anyone who sent.

use std::task::Waker;

use aemp_proto::wire::Span;
use aemp_proto::{Body, PortId, Reason};
use bytes::{Bytes, BytesMut};

use super::known::AnyMailbox;
use super::mailbox::{After, Mailbox, Signal};
use super::port_no::PortNo;
use super::pressure::Pressure;
use super::run::Taken;
use super::slot::{Added, Slot, State};
use super::wake::{wake, wake_all};
use crate::call::CallError;
use crate::message::{Aside, Envelope, IntoMessage};
use crate::node::Node;
use crate::sync::SlotGuard;

/// This many messages for one port that came together, and at most this many bytes of them, are
/// copied. More of them make up a good part of what was read.
const FEW: usize = 64;
const COPIED: usize = 16 << 10;

/// What became of the message of a call.
pub(crate) enum Called {
    /// The caller has to run the called port now.
    Run(Taken),
    /// Somebody else sees to it. Whether the port is behind.
    Queued(Option<Pressure>),
}

impl Node {
    /// Puts a message into a mailbox. Says whether the port is behind.
    pub(crate) fn deliver_envelope(&self, number: PortNo, message: Envelope) -> Option<Pressure> {
        let Some(mut cell) = self.table().get(number) else {
            self.undeliverable(number, Aside(message));
            return None;
        };
        if cell.is_closing() {
            drop(cell);
            self.undeliverable(number, Aside(message));
            return None;
        }
        let mailbox = cell.mailbox()?;
        if matches!(message, Envelope::Moved(_)) && mailbox.wants_encoded() {
            // The port has become a typed one just now. Encoding runs code of the message's type,
            // so no lock is held.
            drop(cell);
            match message.encode() {
                Ok(body) => return self.deliver_envelope(number, Envelope::Encoded(body)),
                Err(error) => self.signal(number, Signal::Kill(Reason::text("bad_message", error))),
            }
            return None;
        }
        let bytes = mailbox.push(message);
        self.delivered(number, cell, bytes)
    }

    /// Puts messages of another node, which lie in `batch`, into a mailbox, and leaves `spans`
    /// empty.
    pub(crate) fn deliver_spans(&self, number: PortNo, batch: &Bytes, spans: &mut Vec<Span>) {
        let cell = self.table().get(number).filter(|cell| !cell.is_closing());
        let Some(mut cell) = cell else {
            return self.undeliverable_spans(&self.own_port(number), batch, spans);
        };
        let busy = cell.waiting() > 0 || cell.state() == State::Task;
        let Some(mailbox) = cell.mailbox() else { return spans.clear() };
        let bytes = if busy && spans.len() < FEW {
            push_few(&mut ***mailbox, batch, spans)
        } else {
            mailbox.push_spans(batch, spans)
        };
        self.delivered(number, cell, bytes);
    }

    /// Something was added to a mailbox: sees to it that somebody takes it out. Says whether the
    /// port is behind.
    #[inline]
    pub(crate) fn delivered(
        &self,
        number: PortNo,
        mut cell: SlotGuard<'_, Slot>,
        bytes: usize,
    ) -> Option<Pressure> {
        match cell.added(bytes, self.limits().crowd()) {
            Added::Nothing => {}
            Added::Schedule => {
                drop(cell);
                self.scheduler().schedule(number);
            }
            Added::LookCloser => return self.delivered_otherwise(number, cell),
        }
        None
    }

    /// As `delivered`, for a port that is crowded, or parked, or no runner's business.
    #[cold]
    fn delivered_otherwise(&self, number: PortNo, mut cell: SlotGuard<'_, Slot>) -> Option<Pressure> {
        let mailbox = cell.mailbox()?;
        let (kept, after) = (mailbox.kept(), mailbox.after());
        // One that is to die already is only seen to: a parked one has to run for it.
        if cell.waiting() + kept > self.limits().mailbox && !cell.is_closing() {
            drop(cell);
            let text = format_args!("more than {} bytes waited for this port", self.limits().mailbox);
            self.kill_from_afar(number, Reason::text("mailbox_full", text));
            return None;
        }
        let behind = cell.waiting() > self.limits().mailbox_high;
        match (cell.state(), after) {
            // A parked port is woken if it falls behind itself, and if it is to die: nobody it
            // sends to can keep it alive.
            (State::Idle, _) => {}
            (State::Parked, _) if behind || cell.is_doomed() => {}
            (State::Task | State::Unscheduled, After::Wake(waker)) => {
                let falls = cell.extra_mut().filter(|_| behind).and_then(|extra| extra.falls_behind.take());
                drop(cell);
                falls.into_iter().for_each(|falls| wake_all(&falls));
                waker.into_iter().for_each(wake);
                return behind.then_some(Pressure::Port(number));
            }
            (State::Task | State::Unscheduled, After::Finish(waker)) => {
                self.answered(number, cell, waker);
                return None;
            }
            (State::Free | State::Queued | State::Running | State::Parked, _) => {
                return behind.then_some(Pressure::Port(number));
            }
        }
        cell.queue();
        drop(cell);
        self.scheduler().schedule(number);
        behind.then_some(Pressure::Port(number))
    }

    /// The port has its answer, which waits for the call to take it. For everybody else it is dead.
    pub(crate) fn answered(&self, number: PortNo, mut cell: SlotGuard<'_, Slot>, waker: Option<Waker>) {
        let extra = cell.close_answered();
        drop(cell);
        waker.into_iter().for_each(wake);
        if let Some(extra) = extra {
            self.release(number, *extra, &Reason::NORMAL);
        }
    }

    /// Puts the message of a call into a mailbox, and has the port for the answer told of a death.
    /// `help` says that this thread may run the called port.
    pub(crate) fn call_here<M: IntoMessage>(
        &self,
        port: &PortId,
        number: PortNo,
        caller: PortNo,
        message: M,
        help: bool,
    ) -> Result<Called, CallError> {
        let Some(mut cell) = self.table().get(number) else {
            return Err(CallError::Died(self.why_missing(port)));
        };
        let is_over = |caller| self.table().is_over(caller);
        cell.make_extra().watchers.callers.add(caller, is_over);
        if cell.is_closing() {
            return Ok(Called::Queued(None));
        }
        let Some(mailbox) = cell.mailbox() else { return Ok(Called::Queued(None)) };
        if !self.always_encodes()
            && let Some(queue) = M::own_queue(AnyMailbox(mailbox))
        {
            let bytes = queue.push_message(message);
            cell.count(bytes);
            if help
                && cell.state() == State::Idle
                && cell.waiting() <= self.limits().crowd()
                && let Some(taken) = Taken::out_of(&mut cell, self.limits().mailbox_high)
            {
                return Ok(Called::Run(taken));
            }
            return Ok(Called::Queued(self.delivered(number, cell, 0)));
        }
        let encodes = self.always_encodes() || mailbox.wants_encoded();
        drop(cell);
        Ok(Called::Queued(self.deliver_otherwise(number, Aside(message), encodes)?))
    }
}

/// Puts messages into the mailbox of a port that may take its time. They share the memory of what
/// was read with them, most of which may be for other ports: few small ones get some of their own,
/// or a slow port would keep far more than its mailbox is counted with.
#[cold]
fn push_few(mailbox: &mut dyn Mailbox, batch: &Bytes, spans: &mut Vec<Span>) -> usize {
    let bytes = spans.iter().map(|span| span.len()).sum();
    if bytes > COPIED {
        return mailbox.push_spans(batch, spans);
    }
    let mut own = BytesMut::with_capacity(bytes);
    let bodies = spans.drain(..).map(|span| {
        own.extend_from_slice(span.items(batch));
        Body::new(span.count(), own.split().freeze())
    });
    bodies.map(|body| mailbox.push(Envelope::Encoded(body))).sum()
}
