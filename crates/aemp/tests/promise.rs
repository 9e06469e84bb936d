//! The promise, over a connection that breaks again and again: what arrives between two fires is a
//! prefix of what was sent.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::time::Duration;

use aemp::{Framing, OutboxLimits, Reason};
use support::judge::{Judge, sender};
use support::proxy::{Cut, proxy};
use support::{builder, in_both_modes, soon};
use tokio::sync::watch;

/// Cuts the connection until every sender has counted one more fire. What arrives may have waited
/// in a mailbox for so long that there is no connection yet again, and nothing that a cut would
/// meet.
async fn cut_until(cut: &watch::Sender<(u64, Cut)>, how: (u64, Cut), fires: [&watch::Receiver<u64>; 2]) {
    let before = fires.map(|fires| *fires.borrow());
    let mut fires = fires.map(Clone::clone);
    loop {
        cut.send(how).unwrap();
        let fired = async {
            for (fires, before) in fires.iter_mut().zip(before) {
                fires.wait_for(|fires| *fires > before).await.unwrap();
            }
        };
        if tokio::time::timeout(Duration::from_secs(1), fired).await.is_ok() {
            return;
        }
    }
}

#[test]
fn between_two_fires_a_prefix_arrives() {
    in_both_modes(async |mode| {
        // So little that a burst, or a moment without connection, is more than it takes.
        let tight = OutboxLimits::default().connected(48 << 10).waiting(16 << 10);
        // So short that every message goes in parts.
        let cut = OutboxLimits::default().part(100);
        let kinds =
            [(Framing::Native, OutboxLimits::default()), (Framing::Native, cut), (Framing::Cbor, tight)];
        for (framing, limits) in kinds {
            let base = |id: &str| builder(mode).id(id).secret("s").framings([framing]).outbox_limits(limits);
            let far = base("far").bind("127.0.0.1:0").start().await.unwrap();
            let (cut, cuts) = watch::channel((0, Cut::No));
            let address = proxy(far.local_addrs()[0].to_string(), cuts).await;
            let near = base("near").seed(address).start().await.unwrap();
            let (here, there) = (Judge::new(&near), Judge::new(&far));
            let senders = [(sender(&near, &there.port), &near), (sender(&far, &here.port), &far)];
            for round in 1..=4 {
                let arrive = async { tokio::join!(here.more(100), there.more(100)) };
                soon("messages in both directions", arrive).await;
                let how = if round % 2 == 0 { Cut::OneEnd } else { Cut::Close };
                let fires = senders.each_ref().map(|(sender, _)| &sender.1);
                // Only then: what arrives next may still be left from the connection that was cut.
                soon("the fires", cut_until(&cut, (round, how), fires)).await;
            }
            for ((port, _), node) in &senders {
                let death = node.exited(port);
                node.kill(port, Reason::NORMAL);
                soon("the end of a sender", death).await;
            }
            for judge in [&here, &there] {
                judge.assert_right();
            }
            near.shutdown().await;
            far.shutdown().await;
        }
    });
}
