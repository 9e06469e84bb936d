//! A network of many processes: how long until all have joined, and until each has talked to each.

use std::time::Instant;

use aemp::{Context, Node, PortId};
use tokio::sync::mpsc;

use super::near::hub;
use super::work::Work;
use crate::measure::Measured;
use crate::process::{Peer, ready};

const FAMILY: &str = "members";
/// Where a new node finds the seed.
const SEED: &str = "AEMP_BENCH_SEED";

/// For the far end: a node that joins, registers a port, and talks to all others when it is told
/// to.
pub(super) async fn join() {
    let seed = std::env::var(SEED).expect("a seed to join");
    let builder = Node::builder().id("member/").bind("127.0.0.1:0").secret("bench").seed(seed);
    let node = builder.start().await.expect("it starts");
    let (mut left, mut asker): (usize, Option<PortId>) = (0, None);
    let port = node.port(move |cx: &mut Context<'_>, work: Work| match work {
        Work::Meet(members, port) => {
            (left, asker) = (members.len(), Some(port));
            let me = cx.me();
            for member in members {
                cx.send(&member, Work::Ping(me.clone(), 0));
            }
        }
        Work::Ping(from, n) => cx.send(&from, Work::Seen(n)),
        Work::Seen(_) => {
            left -= 1;
            if let (0, Some(asker)) = (left, &asker) {
                cx.send(asker, Work::Seen(0));
            }
        }
        _ => {}
    });
    node.db().register(FAMILY, &port).expect("a family");
    ready("").await;
    node.shutdown().await;
}

/// Starts this many processes that join this one, and lets each of them talk to each. The figure is
/// what joining took for each of them, in milliseconds; `pair_us` is the time for each two that
/// have talked, in both directions.
pub(crate) async fn form(system: &str, count: u64) -> Measured {
    let hub = hub().await;
    let mut watch = hub.db().watch(FAMILY);
    let began = Instant::now();
    let environment = [(SEED, hub.local_addrs()[0].to_string())];
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let peers: Vec<Peer> = (0..count).map(|_| Peer::start_with(system, "join", &environment)).collect();
    let members: Vec<PortId> = loop {
        let change = watch.next().await.expect("the watch goes on");
        if change.content.len() as u64 == count {
            break change.content.keys().filter_map(|key| key.parse().ok()).collect();
        }
    };
    let measured = Measured::since(began, count);
    let joined = measured.elapsed.as_secs_f64() * 1e3 / count as f64;
    let (sender, mut met) = mpsc::unbounded_channel();
    let asker = hub.port(move |_: &mut Context<'_>, _: Work| sender.send(()).expect("it is waited for"));
    let meeting = Instant::now();
    for member in &members {
        hub.send(member, Work::Meet(members.clone(), asker.port().clone())).expect("it encodes");
    }
    for _ in 0..count {
        met.recv().await;
    }
    let pairs = (count * (count - 1) / 2).max(1);
    let pair = meeting.elapsed().as_secs_f64() * 1e6 / pairs as f64;
    drop(peers);
    measured.with_figure(joined).with("pair_us", pair)
}
