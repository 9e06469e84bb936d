//! Into a mailbox: messages of this host and of others, those of calls, and what follows for the
//! port and for who sent.

use std::mem;
use std::task::Waker;

use aemp_proto::wire::Span;
use aemp_proto::{Body, Reason};
use bytes::{Bytes, BytesMut};

use super::exit::release;
use super::host::{Host, Ports};
use super::known::{AnyMailbox, Known};
use super::mailbox::{After, Mailbox, Signal};
use super::port_no::PortNo;
use super::pressure::Pressure;
use super::run::Taken;
use super::signal::{kill_from_afar, signal};
use super::slot::{Added, Slot, State};
use super::sync::SlotGuard;
use super::wake::wake;
use crate::message::{Aside, EncodeError, Envelope, IntoMessage};

/// Up to this many messages for one port that came together, and this many bytes of them, are
/// copied.
/// More of them make up a good part of what was read.
const FEW: usize = 64;
const COPIED: usize = 16 << 10;

/// What became of the message of a call.
pub enum Called<H: Host> {
    /// The caller has to run the called port now.
    Run(Taken<H>),
    /// Somebody else sees to it. Whether the port is behind.
    Queued(Option<Pressure<H>>),
}

/// Why a port was not called.
pub enum NotCalled {
    /// There is no such port.
    Missing,
    /// The message has to be encoded for it, and has no wire form.
    Encode(EncodeError),
}

impl From<EncodeError> for NotCalled {
    fn from(error: EncodeError) -> NotCalled {
        NotCalled::Encode(error)
    }
}

/// Puts a message into a mailbox. Says whether the port is behind.
///
/// # Errors
///
/// The message has to be encoded for this port, and has no wire form.
#[inline(always)]
pub fn deliver<H: Host, M: IntoMessage>(
    host: &H,
    number: PortNo,
    message: M,
) -> Result<Option<Pressure<H>>, EncodeError> {
    let ports = host.ports();
    let Some(mut cell) = ports.table.get(number) else {
        host.undelivered(number, Aside(message));
        return Ok(None);
    };
    if cell.is_closing() {
        drop(cell);
        host.undelivered(number, Aside(message));
        return Ok(None);
    }
    let Some(mailbox) = cell.mailbox() else { return Ok(None) };
    if !ports.needs_slow_path()
        && let Some(queue) = M::own_queue(AnyMailbox(mailbox))
    {
        let bytes = queue.push_message(message);
        return Ok(delivered(host, number, cell, bytes));
    }
    let encodes = encodes::<H, M>(ports, mailbox);
    // Encoding runs code of the message's type, so no lock is held.
    drop(cell);
    deliver_otherwise(host, number, Aside(message), encodes)
}

/// Whether a message has to be encoded for this mailbox.
fn encodes<H: Host, M: IntoMessage>(ports: &Ports<H>, mailbox: &mut Known<dyn Mailbox<H>>) -> bool {
    ports.always_encode || (mailbox.wants_encoded() && M::own_queue(AnyMailbox(mailbox)).is_none())
}

/// Delivers a message that is not of the port's own type: encoded, or in an envelope.
#[inline(never)]
fn deliver_otherwise<H: Host, M: IntoMessage>(
    host: &H,
    number: PortNo,
    Aside(message): Aside<M>,
    encodes: bool,
) -> Result<Option<Pressure<H>>, EncodeError> {
    let envelope = if encodes { Envelope::Encoded(message.encode()?) } else { message.into_envelope()? };
    if host.ports().needs_slow_path()
        && let Some(trace) = host.trace(number, &envelope)
    {
        return Ok(deliver_traced(host, number, envelope, trace));
    }
    Ok(deliver_envelope(host, number, envelope))
}

/// Puts a message into a mailbox. Says whether the port is behind.
pub fn deliver_envelope<H: Host>(host: &H, number: PortNo, message: Envelope) -> Option<Pressure<H>> {
    let Some(mut cell) = host.ports().table.get(number) else {
        host.undelivered(number, Aside(message));
        return None;
    };
    if cell.is_closing() {
        drop(cell);
        host.undelivered(number, Aside(message));
        return None;
    }
    let mailbox = cell.mailbox()?;
    if matches!(message, Envelope::Moved(_)) && mailbox.wants_encoded() {
        // The port has become a typed one just now. Encoding runs code of the message's type, so no
        // lock is held.
        drop(cell);
        match message.encode() {
            Ok(body) => return deliver_envelope(host, number, Envelope::Encoded(body)),
            Err(error) => signal(host, number, Signal::Kill(Reason::text("bad_message", error))),
        }
        return None;
    }
    let bytes = mailbox.push(message);
    delivered(host, number, cell, bytes)
}

/// Puts a message into a mailbox that is followed. Says whether the port is behind.
#[cold]
pub fn deliver_traced<H: Host>(
    host: &H,
    number: PortNo,
    message: Envelope,
    trace: H::Trace,
) -> Option<Pressure<H>> {
    let cell = host.ports().table.get(number).filter(|cell| !cell.is_closing());
    let Some(mut cell) = cell else {
        host.undelivered(number, Aside(message));
        return None;
    };
    let bytes = cell.mailbox()?.push_traced(message, trace);
    delivered(host, number, cell, bytes)
}

/// Puts messages of another node, which lie in `batch`, into a mailbox, and leaves `spans` empty.
pub fn deliver_spans<H: Host>(host: &H, number: PortNo, batch: &Bytes, spans: &mut Vec<Span>) {
    let cell = host.ports().table.get(number).filter(|cell| !cell.is_closing());
    let Some(mut cell) = cell else { return host.undelivered_spans(number, batch, spans) };
    let busy = cell.waiting() > 0 || cell.state() == State::Task;
    let Some(mailbox) = cell.mailbox() else { return spans.clear() };
    let bytes = if busy && spans.len() < FEW {
        push_few(&mut ***mailbox, batch, spans)
    } else {
        mailbox.push_spans(batch, spans)
    };
    delivered(host, number, cell, bytes);
}

/// Something was added to a mailbox: sees to it that somebody takes it out. Says whether the port
/// is behind.
#[inline]
pub fn delivered<H: Host>(
    host: &H,
    number: PortNo,
    mut cell: SlotGuard<'_, Slot<H>>,
    bytes: usize,
) -> Option<Pressure<H>> {
    match cell.added(bytes) {
        Added::Nothing => {}
        Added::Schedule => {
            drop(cell);
            host.ports().scheduler.schedule(number);
        }
        Added::LookCloser => return delivered_otherwise(host, number, cell),
    }
    None
}

/// As [`delivered`], for a port that is crowded, or parked, or no runner's business.
#[cold]
fn delivered_otherwise<H: Host>(
    host: &H,
    number: PortNo,
    mut cell: SlotGuard<'_, Slot<H>>,
) -> Option<Pressure<H>> {
    let limits = cell.limits(host.ports().limits);
    let mailbox = cell.mailbox()?;
    let (kept, after) = (mailbox.kept(), mailbox.after());
    // One that is to die already is only seen to: a parked one has to run for it.
    if cell.waiting() + kept > limits.most && !cell.is_closing() {
        drop(cell);
        let text = format_args!("more than {} bytes waited for this port", limits.most);
        kill_from_afar(host, number, Reason::text("mailbox_full", text));
        return None;
    }
    let behind = cell.waiting() > limits.high;
    match (cell.state(), after) {
        // A parked port is woken if it falls behind itself, and if it is to die: nobody it sends to
        // can keep it alive.
        (State::Idle, _) => {}
        (State::Parked, _) if behind || cell.is_doomed() => {}
        (State::Task | State::Unscheduled, After::Wake(waker)) => {
            let falls = cell.extra_mut().filter(|_| behind).map(|extra| mem::take(&mut extra.falls_behind));
            drop(cell);
            falls.into_iter().flatten().chain(waker).for_each(wake);
            return behind.then_some(Pressure::Port(number));
        }
        (State::Task | State::Unscheduled, After::Finish(waker)) => {
            answered(host, number, cell, waker);
            return None;
        }
        (State::Free | State::Queued | State::Running | State::Parked, _) => {
            return behind.then_some(Pressure::Port(number));
        }
    }
    cell.queue();
    drop(cell);
    host.ports().scheduler.schedule(number);
    behind.then_some(Pressure::Port(number))
}

/// The port has its answer, which waits for the call to take it. For everybody else it is dead.
pub fn answered<H: Host>(host: &H, number: PortNo, mut cell: SlotGuard<'_, Slot<H>>, waker: Option<Waker>) {
    let extra = cell.close_answered();
    drop(cell);
    waker.into_iter().for_each(wake);
    if let Some(extra) = extra {
        release(host, number, *extra, &Reason::NORMAL);
    }
}

/// Puts the message of a call into a mailbox, and has the port for the answer told of a death.
/// `help` says that this thread may run the called port.
///
/// # Errors
///
/// See [`NotCalled`].
#[inline]
pub fn call<H: Host, M: IntoMessage>(
    host: &H,
    number: PortNo,
    caller: PortNo,
    message: M,
    help: bool,
) -> Result<Called<H>, NotCalled> {
    let ports = host.ports();
    let Some(mut cell) = ports.table.get(number) else { return Err(NotCalled::Missing) };
    let is_over = |caller| ports.table.is_over(caller);
    cell.make_extra().watchers.callers.add(caller, is_over);
    if cell.is_closing() {
        return Ok(Called::Queued(None));
    }
    let Some(mailbox) = cell.mailbox() else { return Ok(Called::Queued(None)) };
    if !ports.needs_slow_path()
        && let Some(queue) = M::own_queue(AnyMailbox(mailbox))
    {
        let bytes = queue.push_message(message);
        cell.count(bytes);
        if help
            && cell.state() == State::Idle
            && !cell.is_crowded()
            && let Some(taken) = Taken::out_of(&mut cell, ports.limits)
        {
            return Ok(Called::Run(taken));
        }
        return Ok(Called::Queued(delivered(host, number, cell, 0)));
    }
    let encodes = encodes::<H, M>(ports, mailbox);
    drop(cell);
    Ok(Called::Queued(deliver_otherwise(host, number, Aside(message), encodes)?))
}

/// Puts messages into the mailbox of a port that may take its time. They share the memory of what
/// was read with them, most of which may be for other ports: few small ones get some of their own,
/// or a slow port would keep far more than its mailbox is counted with.
#[cold]
fn push_few<H: Host>(mailbox: &mut dyn Mailbox<H>, batch: &Bytes, spans: &mut Vec<Span>) -> usize {
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
