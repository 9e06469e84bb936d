//! Two nodes that dial each other at once: one connection stays, nothing is lost, no monitor fires.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use aemp::{Context, Node};
use support::reserved::Reserved;
use support::{builder, in_both_modes, soon};
use tokio::sync::mpsc;

const ROUNDS: usize = 25;
const MESSAGES: u64 = 200;

#[test]
fn nothing_is_lost_and_nothing_fires() {
    in_both_modes(async |mode| {
        for round in 0..ROUNDS {
            let reserved = [Reserved::new(), Reserved::new()];
            let [one, two] = reserved.each_ref().map(Reserved::address);
            let start = |id: &'static str, bind: &str, seed: &str| {
                builder(mode).id(id).bind(bind).seed(seed).secret("s").start()
            };
            let (a, b) = tokio::join!(start("a", &one, &two), start("b", &two, &one));
            let (a, b) = (a.unwrap(), b.unwrap());
            let (mut events_of_a, mut events_of_b) = (a.node_events(), b.node_events());
            let (sender, mut received) = mpsc::unbounded_channel();
            let count = |node: &Node| {
                let (sender, id) = (sender.clone(), node.id().clone());
                node.port(move |_: &mut Context<'_>, (n,): (u64,)| sender.send((id.clone(), n)).unwrap())
            };
            let (at_a, at_b) = (count(&a), count(&b));
            let (a_dies, b_dies) = (b.exited(&at_a), a.exited(&at_b));
            for n in 0..MESSAGES {
                a.send(&at_b, (n,)).unwrap();
                b.send(&at_a, (n,)).unwrap();
            }
            let (mut next_a, mut next_b) = (0, 0);
            while next_a + next_b < 2 * MESSAGES {
                let (at, n) = soon("a message", received.recv()).await.unwrap();
                let next = if at == *a.id() { &mut next_a } else { &mut next_b };
                assert_eq!(n, *next, "round {round}");
                *next += 1;
            }
            tokio::select! {
                biased;
                reason = a_dies => panic!("round {round}: {reason}"),
                reason = b_dies => panic!("round {round}: {reason}"),
                () = std::future::ready(()) => {}
            }
            for events in [&mut events_of_a, &mut events_of_b] {
                let seen: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
                assert!(seen.len() <= 1, "round {round}: more than one connection: {seen:?}");
            }
            a.shutdown().await;
            b.shutdown().await;
        }
    });
}
