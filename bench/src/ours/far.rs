//! The far end of the workloads: a node that listens, and a port that does what it is asked.

use aemp::{Context, Node, PortId};

use super::work::Work;
use super::{latency, mesh, transport};
use crate::process::ready;

/// Runs the far end until the other process is gone.
pub(crate) async fn peer(workload: String) {
    if workload == "join" {
        return mesh::join().await;
    }
    let builder = transport::builder(&workload, transport::bundle().as_deref());
    let node = builder.id("peer").bind("127.0.0.1:0").start().await.expect("it starts");
    let port = open(&node);
    ready(&format!("{} {port}", node.local_addrs()[0])).await;
    node.shutdown().await;
}

/// Who is to be told what of the messages that have come.
struct Until {
    count: u64,
    every: u64,
    port: PortId,
}

fn open(node: &Node) -> PortId {
    let (mut seen, mut until): (u64, Option<Until>) = (0, None);
    node.port(move |cx: &mut Context<'_>, work: Work| {
        match work {
            Work::Count(_) | Work::Payload(_) => seen += 1,
            Work::Busy(micros) => {
                latency::spin(micros);
                seen += 1;
            }
            Work::Entries(count) => return set_entries(cx.node(), count),
            Work::Until { count, every, port } => (seen, until) = (0, Some(Until { count, every, port })),
            Work::Ping(from, n) => return cx.send(&from, Work::Seen(n)),
            Work::Call { value, reply } => return cx.reply(reply, value + 1),
            Work::More(ports, from) => {
                let ports = (0..ports).map(|_| open(cx.node())).collect();
                return cx.send(&from, Work::Ports(ports));
            }
            Work::Seen(_) | Work::Ports(_) | Work::Meet(..) => return,
        }
        if let Some(waiting) = &until
            && (seen == waiting.count || (seen > 0 && seen.is_multiple_of(waiting.every)))
        {
            cx.send(&waiting.port, Work::Seen(seen));
        }
    })
    .into()
}

fn set_entries(node: &Node, count: u64) {
    for n in 0..count {
        node.db().set("bench", &format!("key/{n}"), n).expect("a family").detach();
    }
}
