//! The code of a port: a loop over the items of its mailbox, and the few ways to handle one.

use std::any::Any;
use std::sync::Arc;

use aemp_proto::{PortId, Reason};

use super::Context;
use super::effects::{Effects, NO_TAGS};
use super::items::{Item, Items};
use super::known::Known;
use super::mailbox::{Mailbox, Queue, Signal};
use super::monitor::{Action, Delivered, Notification, PortAction};
use super::port_no::PortNo;
use crate::message::{DecodeError, Envelope, FromMessage, misfit};
use crate::node::Node;

/// The code of a port, as the runner sees it.
pub(crate) trait Actor: Send {
    /// Takes what waits in the mailbox, if nothing is left of an earlier batch. False if it took
    /// nothing.
    fn load(&mut self, mailbox: &mut Known<dyn Mailbox>) -> bool;

    /// Handles up to `quota` items; stops early when the context says so. `name` is the port's ID,
    /// if another node chose it.
    fn run(&mut self, node: &Node, number: PortNo, name: Option<Arc<PortId>>, quota: usize) -> Ran;

    /// Moves what is left of the batch into the mailbox of a successor; gives the bytes that it is
    /// counted with there.
    fn hand_over(&mut self, successor: &mut dyn Mailbox) -> usize;
}

/// How far a run came. Two words, which are given back in registers.
pub(crate) struct Ran {
    pub(crate) progress: Progress,
    /// What the code has asked for.
    pub(crate) effects: Option<Box<Effects>>,
}

/// How many items were handled, twice, and one more if some of the batch are left.
#[derive(Clone, Copy)]
pub(crate) struct Progress(usize);

impl Progress {
    #[inline]
    fn new(handled: usize, left: bool) -> Progress {
        Progress(handled << 1 | usize::from(left))
    }

    /// Items that were handled.
    #[inline]
    pub(crate) fn handled(self) -> usize {
        self.0 >> 1
    }

    /// Whether some of the batch are left.
    #[inline]
    pub(crate) fn left(self) -> bool {
        self.0 & 1 == 1
    }
}

/// What is done with a message.
pub(crate) trait Handle<M>: Send {
    /// Handles one message.
    fn message(&mut self, cx: &mut Context<'_>, message: M);

    /// Takes over changes of tagged handlers that the last item asked for.
    fn settle(&mut self, cx: &mut Context<'_>) {
        cx.fail(NO_TAGS);
    }
}

/// The handler of a typed port.
pub(crate) struct Closure<F>(pub(crate) F);

impl<M, F: FnMut(&mut Context<'_>, M) + Send> Handle<M> for Closure<F> {
    #[inline(always)]
    fn message(&mut self, cx: &mut Context<'_>, message: M) {
        (self.0)(cx, message);
    }
}

/// A port that was spawned and whose init function has not run yet: it is replaced before any
/// message is looked at.
pub(crate) struct Nascent;

impl Handle<Envelope> for Nascent {
    fn message(&mut self, cx: &mut Context<'_>, _message: Envelope) {
        cx.fail("a spawned port was sent a message before its init function had run");
    }

    fn settle(&mut self, cx: &mut Context<'_>) {
        cx.receive_tagged();
    }
}

/// The actor of every callback port: a batch of items, and what handles them.
pub(crate) struct Callback<M, H> {
    batch: Items<M>,
    handle: H,
    state: Option<Box<dyn Any + Send>>,
}

impl<M: FromMessage, H: Handle<M>> Callback<M, H> {
    pub(crate) fn new(handle: H, state: Option<Box<dyn Any + Send>>) -> Callback<M, H> {
        Callback { batch: Items::default(), handle, state }
    }

    /// A message that was decoded comes next; one that does not fit ends the port.
    #[inline(always)]
    fn put_back(&mut self, cx: &mut Context<'_>, decoded: Result<M, DecodeError>) {
        self.batch.put_back(decoded.map_or_else(|error| not_fitting(cx, &error), Item::Message));
    }
}

#[cold]
fn not_fitting<M>(cx: &mut Context<'_>, error: &DecodeError) -> Item<M> {
    cx.end(misfit(error));
    Item::None
}

/// A signal takes effect; that of a monitor may be a message.
#[cold]
fn signalled<M: FromMessage>(cx: &mut Context<'_>, signal: Signal) -> Option<Result<M, DecodeError>> {
    match signal {
        Signal::Job(job) => job(cx),
        Signal::Kill(reason) => cx.end(reason),
        Signal::Notification(notification) => return notified(cx, notification),
    }
    None
}

/// A notification has left the mailbox: it takes effect, or is a message to be handled.
fn notified<M: FromMessage>(
    cx: &mut Context<'_>,
    notification: Notification,
) -> Option<Result<M, DecodeError>> {
    if notification.kills() {
        cx.kill_left_mailbox();
    }
    let Delivered { action, reason, gate } = notification.deliver();
    let Some(Action::Port(_, action)) = action else { return None };
    drop(gate);
    match action {
        PortAction::Message(make) => match make(reason) {
            Ok(message) => return Some(message.open()),
            Err(error) => cx.end(Reason::died(error)),
        },
        PortAction::Job(job) => job(cx, reason),
        PortAction::Kill => cx.end(reason),
        PortAction::EndCall => {}
    }
    None
}

impl<M: FromMessage, H: Handle<M>> Actor for Callback<M, H> {
    fn load(&mut self, mailbox: &mut Known<dyn Mailbox>) -> bool {
        if self.batch.is_empty()
            && let Some(queue) = mailbox.downcast_mut::<Queue<M>>()
        {
            queue.take(&mut self.batch);
            return true;
        }
        false
    }

    fn run(&mut self, node: &Node, number: PortNo, name: Option<Arc<PortId>>, quota: usize) -> Ran {
        let mut cx = Context::new(node, number, name, self.state.take());
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
                    if let Some(message) = signalled(&mut cx, *signal) {
                        self.put_back(&mut cx, message);
                        continue;
                    }
                }
                Item::None => {}
            }
            handled += 1;
            if let Some(effects) = cx.asked() {
                if effects.has_changes() {
                    self.handle.settle(&mut cx);
                }
                if cx.asked().is_some_and(|effects| effects.stops_run()) {
                    break;
                }
            }
        }
        let (state, effects) = cx.end_of_run();
        self.state = state;
        Ran { progress: Progress::new(handled, !self.batch.is_empty()), effects }
    }

    fn hand_over(&mut self, successor: &mut dyn Mailbox) -> usize {
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
