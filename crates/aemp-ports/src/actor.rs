//! The code of a port: a loop over the items of its mailbox, and the few ways to handle one.

use std::mem;
use std::sync::Arc;

use aemp_proto::{PortId, Reason};

use super::effects::{Effects, NO_TAGS};
use super::exit::adopt;
use super::extra::Child;
use super::host::{Host, PortState};
use super::items::{Item, Items};
use super::known::Known;
use super::mailbox::{Mailbox, Queue, Signal, TracedMessage};
use super::monitor::{Action, Delivered, Notification, PortAction};
use super::port_no::PortNo;
use super::signal::kill_left_mailbox;
use crate::message::{DecodeError, Envelope, FromMessage, misfit};

/// The code of a port, as the runner sees it.
pub trait Actor<H: Host>: Send {
    /// Takes what waits in the mailbox, if nothing is left of an earlier batch. False if it took
    /// nothing.
    fn load(&mut self, mailbox: &mut Known<dyn Mailbox<H>>) -> bool;

    /// Handles up to `quota` items; stops early when the context says so. `name` is the port's ID,
    /// if another node chose it.
    fn run(&mut self, host: &H, number: PortNo, name: Option<Arc<PortId>>, quota: usize) -> Ran<H>;

    /// What is left of the batch, when the port is to end: news of losses may be in it, and gates
    /// stay closed until the port, which does not hear of them, has ended.
    fn take_rest(&mut self) -> Option<Box<dyn Send>>;

    /// Moves what is left of the batch into the mailbox of a successor; gives the bytes that it is
    /// counted with there.
    fn hand_over(&mut self, successor: &mut dyn Mailbox<H>) -> usize;
}

/// How far a run came. Two words, which are given back in registers.
pub struct Ran<H: Host> {
    /// How far it came.
    pub progress: Progress,
    /// What the code has asked for.
    pub effects: Option<Box<Effects<H>>>,
}

/// How many items were handled, twice, and one more if some of the batch are left.
#[derive(Clone, Copy)]
pub struct Progress(usize);

impl Progress {
    #[inline]
    fn new(handled: usize, left: bool) -> Progress {
        Progress(handled << 1 | usize::from(left))
    }

    /// Items that were handled.
    #[inline]
    pub fn handled(self) -> usize {
        self.0 >> 1
    }

    /// Whether some of the batch are left.
    #[inline]
    pub fn left(self) -> bool {
        self.0 & 1 == 1
    }
}

/// What is done with a message.
pub trait Handle<H: Host, M>: Send {
    /// Handles one message.
    fn message(&mut self, cx: &mut H::Context<'_>, message: M);

    /// Takes over changes of tagged handlers that the last item asked for.
    fn settle(&mut self, cx: &mut H::Context<'_>) {
        ask::<H>(cx).end(Reason::died(NO_TAGS));
    }
}

/// The handler of a typed port.
pub struct Closure<F>(pub F);

impl<H: Host, M, F: FnMut(&mut H::Context<'_>, M) + Send> Handle<H, M> for Closure<F> {
    #[inline(always)]
    fn message(&mut self, cx: &mut H::Context<'_>, message: M) {
        (self.0)(cx, message);
    }
}

/// To be told what is to happen when the code in this context has ended.
#[cold]
pub fn ask<'c, H: Host>(cx: &'c mut H::Context<'_>) -> &'c mut Effects<H> {
    H::effects(cx).get_or_insert_default()
}

/// The actor of every callback port: a batch of items, and what handles them.
pub struct Callback<H: Host, M, C> {
    handle: C,
    state: Option<PortState>,
    /// Dropped last: code that is dropped before may send, and must not pass a loss of which the
    /// news is here.
    batch: Items<H, M>,
}

impl<H: Host, M: FromMessage, C: Handle<H, M>> Callback<H, M, C> {
    /// Nothing is loaded yet.
    pub fn new(handle: C, state: Option<PortState>) -> Callback<H, M, C> {
        Callback { batch: Items::default(), handle, state }
    }

    /// A message that was decoded comes next; one that does not fit ends the port.
    #[inline(always)]
    fn put_back(&mut self, cx: &mut H::Context<'_>, decoded: Result<M, DecodeError>) {
        self.batch.put_back(decoded.map_or_else(|error| not_fitting::<H, M>(cx, &error), Item::Message));
    }
}

#[cold]
fn not_fitting<H: Host, M>(cx: &mut H::Context<'_>, error: &DecodeError) -> Item<H, M> {
    ask::<H>(cx).end(misfit(error));
    Item::None
}

/// A signal takes effect; that of a monitor may be a message.
#[cold]
fn signalled<H: Host, M: FromMessage>(
    (host, number): (&H, PortNo),
    cx: &mut H::Context<'_>,
    signal: Signal<H>,
) -> Option<Result<M, DecodeError>> {
    match signal {
        Signal::Job(job) => job(cx),
        Signal::Kill(reason) => ask::<H>(cx).end(reason),
        Signal::Notification(notification) => return notified((host, number), cx, notification),
        Signal::Traced(traced) => {
            let TracedMessage { message, trace } = *traced;
            if let Some(handling) = host.begin_traced(number, trace) {
                ask::<H>(cx).handling = Some(handling);
            }
            return Some(message.open());
        }
    }
    None
}

/// The handler of a message that is followed has ended.
#[cold]
fn end_traced<H: Host>(cx: &mut H::Context<'_>) {
    let effects = H::effects(cx);
    drop(effects.as_mut().and_then(|effects| effects.handling.take()));
    // With none the next message costs what it always does.
    *effects = effects.take().filter(|effects| !effects.is_empty());
}

/// A notification has left the mailbox: it takes effect, or is a message to be handled.
fn notified<H: Host, M: FromMessage>(
    (host, number): (&H, PortNo),
    cx: &mut H::Context<'_>,
    notification: Notification<H>,
) -> Option<Result<M, DecodeError>> {
    if notification.kills() {
        kill_left_mailbox(host, number);
    }
    let Delivered { action, reason, gate } = notification.deliver();
    let Some(Action::Port(_, action)) = action else { return None };
    if let PortAction::Kill = action {
        // The port does not hear of the loss that it dies of: what is dropped with its code may
        // send, and must not pass it.
        gate.into_iter().for_each(|gate| adopt(host, number, Child::Guard(gate)));
        ask::<H>(cx).end(reason);
        return None;
    }
    drop(gate);
    match action {
        PortAction::Message(make) => match make(reason) {
            Ok(message) => return Some(message.open()),
            Err(error) => ask::<H>(cx).end(Reason::died(error)),
        },
        PortAction::Job(job) => job(cx, reason),
        PortAction::Kill | PortAction::EndCall => {}
    }
    None
}

impl<H: Host, M: FromMessage, C: Handle<H, M>> Actor<H> for Callback<H, M, C> {
    fn load(&mut self, mailbox: &mut Known<dyn Mailbox<H>>) -> bool {
        if self.batch.is_empty()
            && let Some(queue) = mailbox.downcast_mut::<Queue<H, M>>()
        {
            queue.take(&mut self.batch);
            return true;
        }
        false
    }

    fn run(&mut self, host: &H, number: PortNo, name: Option<Arc<PortId>>, quota: usize) -> Ran<H> {
        let mut cx = host.context(number, name, self.state.take());
        let mut handled = 0;
        while handled < quota
            && let Some(item) = self.batch.pop()
        {
            match item {
                // The only call of the handler, and with what was just in the batch: so it becomes
                // a part of this loop.
                Item::Message(message) => self.handle.message(&mut cx, message),
                Item::Encoded(_) => {
                    if let Some(decoded) = self.batch.decode() {
                        self.put_back(&mut cx, decoded);
                        continue;
                    }
                }
                Item::Signal(signal) => {
                    if let Some(message) = signalled((host, number), &mut cx, *signal) {
                        self.put_back(&mut cx, message);
                        continue;
                    }
                }
                Item::None => {}
            }
            handled += 1;
            if let Some(effects) = H::effects(&mut cx) {
                if effects.handling.is_some() {
                    end_traced::<H>(&mut cx);
                }
                if H::effects(&mut cx).as_ref().is_some_and(|effects| effects.has_changes()) {
                    self.handle.settle(&mut cx);
                }
                if H::effects(&mut cx).as_ref().is_some_and(|effects| effects.stops_run()) {
                    break;
                }
            }
        }
        let (state, effects) = H::end_context(cx);
        self.state = state;
        Ran { progress: Progress::new(handled, !self.batch.is_empty()), effects }
    }

    fn take_rest(&mut self) -> Option<Box<dyn Send>> {
        (!self.batch.is_empty()).then(|| Box::new(mem::take(&mut self.batch)) as Box<dyn Send>)
    }

    fn hand_over(&mut self, successor: &mut dyn Mailbox<H>) -> usize {
        let mut bytes = 0;
        while let Some(item) = self.batch.pop() {
            bytes += match item {
                Item::Encoded(_) => {
                    self.batch.body().map_or(0, |body| successor.push(Envelope::Encoded(body)))
                }
                Item::Signal(signal) => successor.signal(*signal),
                Item::None => 0,
                Item::Message(message) => match message.into_envelope() {
                    Ok(message) => successor.push(message),
                    Err(error) => successor.signal(Signal::Kill(Reason::text("bad_message", error))),
                },
            };
        }
        bytes
    }
}
