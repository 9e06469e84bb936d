//! What one other node may take of this one: its share, and not that of others.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use aemp::{Builder, Context, Limits, Node, PortId, Reason};
use support::{builder, in_both_modes, soon, up};

fn room(builder: Builder) -> Builder {
    builder.secret("s").function("test::room", |cx: &mut Context<'_>, (): ()| {
        cx.receive(|_: &mut Context<'_>, (): ()| {});
        Ok::<(), Reason>(())
    })
}

async fn joined(mode: bool, id: &str, seed: &Node) -> Node {
    let node = builder(mode).id(id).secret("s").seed(seed.local_addrs()[0]).start().await.unwrap();
    up(&node, seed.id()).await;
    node
}

/// Spawns a port, and says whether it is there.
async fn spawned(node: &Node, on: &Node) -> Result<PortId, Reason> {
    let port = node.spawn(on.id(), "test::room", ()).unwrap();
    let mut death = std::pin::pin!(node.exited(&port));
    // What asks for the time comes behind the monitor, and its answer behind the news of the death.
    let (told, answer) = tokio::sync::oneshot::channel();
    let mut told = Some(told);
    let here = node.port(move |_: &mut Context<'_>, (_,): (f64,)| {
        if let Some(told) = told.take() {
            told.send(()).unwrap();
        }
    });
    node.send(&on.id().control_port(), ("time", &here)).unwrap();
    tokio::select! {
        biased;
        reason = &mut death => Err(reason),
        () = async { soon("the time", answer).await.unwrap() } => Ok(port),
    }
}

#[test]
fn one_node_makes_so_many_ports_and_leaves_room_for_others() {
    in_both_modes(async |mode| {
        let limits = Limits::default().peer_ports(3);
        let seed = room(builder(mode)).id("seed").bind("127.0.0.1:0").limits(limits).start().await.unwrap();
        let (one, other) = (joined(mode, "one", &seed).await, joined(mode, "other", &seed).await);
        let mut ports = Vec::new();
        for _ in 0..3 {
            ports.push(spawned(&one, &seed).await.unwrap());
        }
        let port = one.spawn(seed.id(), "test::room", ()).unwrap();
        let reason = soon("the refusal", one.exited(&port)).await;
        assert_eq!(reason.identifier().as_deref(), Some("spawn_refused"), "{reason}");
        spawned(&other, &seed).await.unwrap();
        // The node itself is no other node.
        for _ in 0..5 {
            spawned(&seed, &seed).await.unwrap();
        }
        // What is gone makes room.
        let death = one.exited(&ports[0]);
        one.kill(&ports[0], Reason::NORMAL);
        soon("the death", death).await;
        spawned(&one, &seed).await.unwrap();
    });
}
