//! The port for the answer to a call: its mailbox, and its place in the table.
//!
//! A thread that calls again and again keeps one free place, with the mailbox that lay there, for
//! the next call: to ask all threads' common list for one, and the allocator for a mailbox, would
//! make up a sixth of a call.

use std::task::Waker;

use aemp_proto::Reason;

use super::reply_slot::ReplySlot;
use crate::message::Envelope;
use crate::node::Node;
use crate::port::known::Known;
use crate::port::mailbox::{After, Job, Mailbox, Signal};
use crate::port::monitor::Notification;
use crate::port::port_no::PortNo;
use crate::port::slot::{Slot, State};
use crate::port::wake::wake;
use crate::sync::SlotGuard;
use crate::this_thread::owned::{Keeper, try_own};
use crate::this_thread::this;

impl Node {
    /// Opens a port for an answer.
    pub(super) fn open_for_answer<R: Send + 'static>(&self) -> PortNo {
        let (whose, number) = this(|this| this.reply_slot.get());
        if let Some(number) = number
            && whose == self.identity()
        {
            this(|this| this.reply_slot.set((whose, None)));
            if self.table().begin(number, |mailbox| mailbox.downcast_mut::<AnswerBox<R>>().is_some()) {
                return number;
            }
        }
        self.table().insert(State::Unscheduled, Known::boxed(AnswerBox::<R>::new()), None, None)
    }

    /// Ends a port for an answer that was taken out of its mailbox, which is empty now; nobody is
    /// to be told.
    pub(super) fn end_answered(&self, number: PortNo, cell: SlotGuard<'_, Slot>) {
        match this(|this| this.reply_slot.get()) {
            (whose, None) if whose == self.identity() => {
                let kept = self.table().keep(number, cell);
                this(|this| this.reply_slot.set((whose, kept)));
            }
            (whose, _) => {
                drop(self.table().take_out(number, cell));
                if whose != self.identity() {
                    self.keep_from_now_on();
                }
            }
        }
    }

    /// This thread keeps a place for this node, and none for another one any more.
    #[cold]
    fn keep_from_now_on(&self) {
        // A thread that is ending keeps nothing.
        let _ = try_own(|owned| {
            let before = owned.keeper.replace(Some(Keeper(self.weak())));
            drop(before);
            this(|this| this.reply_slot.set((self.identity(), None)));
        });
    }
}

/// The mailbox of a port that lives for one answer.
pub(super) struct AnswerBox<R> {
    pub(super) slot: ReplySlot<Result<Given<R>, Lost>>,
    /// Code for the port, which never runs. It is dropped with the box, for the port is locked when
    /// it comes.
    ignored: Vec<Job>,
}

/// An answer as it came.
pub(super) enum Given<R> {
    /// Of the type that is waited for.
    Moved(R),
    /// Anything else.
    Other(Envelope),
}

/// Why no answer will come.
pub(super) enum Lost {
    Killed(Reason),
    /// A monitor has fired. What it owns is dropped, and its gate opens, when the caller hears of
    /// it.
    Fired(Box<Notification>),
}

impl<R> AnswerBox<R> {
    pub(super) fn new() -> AnswerBox<R> {
        AnswerBox { slot: ReplySlot::new(), ignored: Vec::new() }
    }

    /// Whether nothing is in it once the answer is taken out.
    #[inline]
    pub(super) fn is_bare(&self) -> bool {
        self.ignored.is_empty()
    }

    /// The answer, if it has come and is of the type that is waited for.
    #[inline(always)]
    pub(super) fn take_moved(&mut self) -> Option<R> {
        self.slot.take_if(|answer| match answer {
            Ok(Given::Moved(answer)) => Ok(answer),
            other => Err(other),
        })
    }

    /// Anyone who waits is to be woken.
    pub(super) fn answer(&mut self, answer: Result<Given<R>, Lost>) -> Option<Waker> {
        self.slot.put(answer);
        self.slot.take_waiting()
    }
}

impl<R: Send + 'static> Mailbox for AnswerBox<R> {
    fn wants_encoded(&self) -> bool {
        false
    }

    fn push(&mut self, message: Envelope) -> usize {
        self.slot.put(Ok(Given::Other(message)));
        0
    }

    fn signal(&mut self, signal: Signal) -> usize {
        let lost = match signal {
            Signal::Notification(notification) => Lost::Fired(Box::new(notification)),
            Signal::Kill(reason) => Lost::Killed(reason),
            Signal::Job(job) => {
                self.ignored.push(job);
                return 0;
            }
        };
        self.slot.put(Err(lost));
        0
    }

    fn wants_reasons(&self) -> bool {
        true
    }

    fn after(&mut self) -> After {
        if self.slot.is_full() { After::Finish(self.slot.take_waiting()) } else { After::Wake(None) }
    }
}

impl<R> Drop for AnswerBox<R> {
    fn drop(&mut self) {
        // The time is up, or the node ends. If it is the future that goes, it does not mind.
        if let Some(waiting) = self.slot.take_waiting() {
            wake(waiting);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::message::ReplyTo;
    use crate::node::Node;
    use crate::port::Context;

    async fn ask(node: &Node, port: &aemp_proto::PortId) -> u8 {
        node.call(port, Duration::from_secs(60), |reply: ReplyTo<u8>| (reply,)).await.expect("it answers")
    }

    async fn node() -> (Node, aemp_proto::PortId) {
        let node = Node::builder().start().await.expect("it starts");
        let port = node.port(|cx: &mut Context<'_>, (reply,): (ReplyTo<u8>,)| cx.reply(reply, 7)).into();
        (node, port)
    }

    #[tokio::test]
    async fn a_thread_that_ends_gives_its_place_back() {
        let (node, port) = node().await;
        for _ in 0..50 {
            let (node, port) = (node.clone(), port.clone());
            let calls = tokio::task::spawn_blocking(move || {
                let runtime = tokio::runtime::Handle::current();
                // A thread of its own, which ends here.
                let thread = std::thread::spawn(move || {
                    runtime.block_on(async {
                        for _ in 0..3 {
                            assert_eq!(ask(&node, &port).await, 7);
                        }
                    });
                });
                thread.join().expect("the calls are answered");
            });
            calls.await.expect("it does not panic");
        }
        assert!(node.table().slots() < 10, "{} slots", node.table().slots());
    }

    #[tokio::test]
    async fn a_thread_that_calls_at_several_nodes_takes_no_places_along() {
        let (first, second) = (node().await, node().await);
        for _ in 0..50 {
            for (node, port) in [&first, &second] {
                assert_eq!(ask(node, port).await, 7);
            }
        }
        assert!(first.0.table().slots() < 10 && second.0.table().slots() < 10);
    }
}
