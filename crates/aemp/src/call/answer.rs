//! The port for the answer to a call, and its place in the table.
//!
//! A thread that calls again and again keeps one free place, with the mailbox that lay there, for
//! the next call: to ask all threads' common list for one, and the allocator for a mailbox, would
//! make up a sixth of a call.

use crate::node::Node;
use crate::owned::{Keeper, try_own};
use aemp_ports::answer::AnswerBox;
use aemp_ports::known::Known;
use aemp_ports::slot::{Slot, State};
use aemp_ports::sync::SlotGuard;
use aemp_ports::this_thread::this;
use aemp_ports::{Host as _, PortNo};

impl Node {
    /// Opens a port for an answer.
    pub(super) fn open_for_answer<R: Send + 'static>(&self) -> PortNo {
        let (whose, number) = this(|this| this.reply_slot.get());
        if let Some(number) = number
            && whose == self.identity()
        {
            this(|this| this.reply_slot.set((whose, None)));
            if self.table().begin(number, |mailbox| mailbox.downcast_mut::<AnswerBox<Node, R>>().is_some()) {
                return number;
            }
        }
        self.table().insert(State::Unscheduled, Known::boxed(AnswerBox::<Node, R>::new()), None, None)
    }

    /// Ends a port for an answer that was taken out of its mailbox, which is empty now; nobody is
    /// to be told.
    pub(super) fn end_answered(&self, number: PortNo, cell: SlotGuard<'_, Slot<Node>>) {
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
