//! Back-pressure on one node: a port whose handler has sent to receivers that are behind is parked
//! until all have caught up.

use aemp_proto::Reason;

use super::Node;
use crate::cx::Cx;
use crate::options::Sabotage;

impl Node {
    /// A mailbox has got one more: it may be too full, or so full that whose handler has sent it
    /// waits.
    pub(super) fn weigh(&mut self, number: u64, cx: &mut Cx) {
        let limits = cx.options.mailbox;
        let Some(waiting) = self.ports.port(number).map(|port| port.mailbox.len()) else { return };
        if waiting > limits.most {
            return self.close(number, Reason::text("mailbox_full", waiting as u64), cx);
        }
        if waiting <= limits.high {
            return;
        }
        if let Some(sender) = self.running.filter(|sender| *sender != number)
            && let Some(sender) = self.ports.port(sender)
            && !sender.behind.contains(&number)
        {
            if cx.sabotage(Sabotage::OneReceiver, 1) {
                sender.behind.clear();
            }
            sender.behind.push(number);
        }
        // It may be parked itself; of a ring of ports one has to go on.
        self.schedule(number, cx);
    }

    /// A mailbox has got one less, or is gone: who waited for it goes on, unless it waits for
    /// others as well.
    pub(super) fn relieve(&mut self, number: u64, cx: &mut Cx) {
        let high = cx.options.mailbox.high;
        if self.ports.port(number).is_some_and(|port| port.mailbox.len() > high) {
            return;
        }
        for sender in self.ports.parked_behind(number) {
            let Some(port) = self.ports.port(sender) else { continue };
            port.behind.retain(|receiver| *receiver != number);
            if !port.mailbox.is_empty() {
                self.schedule(sender, cx);
            }
        }
    }
}
