//! What a port sent before it died comes before the news of its death, also for those who ask late.

use aemp_proto::Reason;
use aemp_proto::kernel::LinkId;
use aemp_proto::wire::{Frame, FrameReader, Framing, Limits, Request};
use tokio::io::AsyncReadExt as _;

use super::{Link, body, counting, soon};
use crate::Node;
use crate::port::Context;

/// Monitors a port of the other node again after a loss, tells it something, and dies.
fn speak(cx: &mut Context<'_>, name: &str) -> Reason {
    let far = cx.node().remotes().get_or_create(&"far".parse().unwrap()).node.named(name);
    cx.monitor(&far, |_, _| {}).detach();
    cx.send(&far, (1,));
    Reason::text("enough", "said")
}

#[tokio::test]
async fn the_answer_to_a_late_monitor_stays_behind_last_words_that_a_gate_holds() {
    for spawned in [false, true] {
        let builder = Node::builder()
            .function("speak", |cx: &mut Context<'_>, (far,): (String,)| Err::<(), _>(speak(cx, &far)));
        let node = builder.start().await.unwrap();
        let remote = node.remotes().get_or_create(&"far".parse().unwrap());
        let far = remote.node.named("listener");
        node.attach_remote(&remote, LinkId::dialled(1), Framing::Native);
        // As long as this one does not know of the loss, what others send waits at the gate of the
        // port.
        let waits = node.exited(&far);
        node.break_remote(&remote, "test");
        let mut link = Link::attach(&node, &remote, LinkId::dialled(2));
        let name = if spawned {
            let args = aemp_proto::Body::encode(&["listener".into()]).unwrap();
            link.request(&Request::Spawn { name: "speaker".into(), function: "speak".into(), args }).await;
            "speaker".to_string()
        } else {
            let port = node.port(|cx: &mut Context<'_>, (far,): (String,)| {
                let reason = speak(cx, &far);
                cx.end(reason);
            });
            node.send(&port, ("listener",)).unwrap();
            soon(node.exited(&port)).await;
            port.name().to_string()
        };
        // Spawned ports run in their turn: this one has died when a monitor has told it.
        soon(node.exited(&node.id().named(&name))).await;
        link.request(&Request::Monitor(name.clone())).await;
        // What the link reads is dealt with in order.
        let (port, mut received) = counting(&node);
        link.send(&port.name().to_string(), &body(7)).await;
        assert_eq!(soon(received.recv()).await, Some(7));
        soon(waits).await;

        let mut frames = FrameReader::new(Framing::Native, Limits::DEFAULT);
        let mut read = Vec::new();
        while read.last().is_none_or(|last| !matches!(last, Some(Request::Died(..)))) {
            frames.make_room();
            assert!(soon(link.peer.read_buf(frames.buffer())).await.unwrap() > 0);
            while let Some(frame) = frames.next().unwrap() {
                let Frame::Message { port, body, .. } = frame else { continue };
                read.push(Request::decode(&body).ok().filter(|_| port.is_empty()));
            }
        }
        let died = Request::Died(name.clone(), Reason::text("enough", "said"));
        let [None, Some(last)] = &read[..] else { panic!("{read:?}") };
        assert!(*last == died || !spawned, "{last:?}");
        node.shutdown().await;
    }
}
