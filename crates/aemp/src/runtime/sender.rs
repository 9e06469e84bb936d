//! Who sends what this thread sends: a port, a task, or the thread itself.
//!
//! Asked when a monitor is set, and while a large message is on its way in parts, or becomes one,
//! or a port is gated: what one sender sends to one node keeps its order, and a sender that has not
//! been told of a loss sends nothing to the port where it was.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::thread;

use tokio::task;

use aemp_ports::sender;

/// Tasks and threads are told from ports and callbacks by this bit.
const OTHER: u64 = 1 << 63;

/// Something that is the same for all that one sender sends: the number of a port for what it
/// sends. Two tasks may have the same, by a chance of one in 2^63.
pub(crate) fn current() -> u64 {
    match (sender::current(), task::try_id()) {
        (0, Some(task)) => OTHER | hash(("task", task)),
        (0, None) => OTHER | hash(("thread", thread::current().id())),
        (port, _) => port,
    }
}

fn hash(sender: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    sender.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;
    use aemp_ports::PortNo;
    use aemp_ports::node_ref::OwnRef;
    use aemp_ports::sender::as_port;

    #[test]
    fn a_port_is_the_same_sender_wherever_it_runs_and_after_another_ran_inside() {
        let [one, other] = [7, 8].map(|number| PortNo::new(number).expect("it is not zero"));
        let node = OwnRef::new(Weak::<()>::new()).get();
        let of = move |port| as_port(node, port, current);
        let elsewhere = thread::spawn(move || of(one)).join().expect("it does not panic");
        let (before, inner, after) = as_port(node, one, || (current(), of(other), current()));
        assert_eq!((before, after), (elsewhere, elsewhere));
        assert!(inner != before && current() != before);
        assert_eq!(current(), current());
    }

    #[tokio::test]
    async fn tasks_are_senders_of_their_own() {
        let task = || async {
            let before = current();
            task::yield_now().await;
            (before, current())
        };
        let (one, other) = (tokio::spawn(task()).await, tokio::spawn(task()).await);
        let (one, other) = (one.expect("it ran"), other.expect("it ran"));
        assert!(one.0 == one.1 && other.0 == other.1 && one.0 != other.0);
    }
}
