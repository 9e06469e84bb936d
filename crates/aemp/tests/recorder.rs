//! What flight recorders tell: the two ends of a connection agree on what went over it, a dump is
//! bounded, can be asked for from elsewhere, and has nothing of messages.

#![allow(clippy::unwrap_used)] // a test may

use std::collections::BTreeMap;
use std::time::Duration;

use aemp::recorder::history::{Direction, Event, Mark};
use aemp::stats::AskError;
use aemp::{Context, Dump, Framing, Node, NodeEvent, PortId, Reason};
use tokio::sync::mpsc;

const LIMIT: Duration = Duration::from_secs(60);

async fn pair(framing: Option<Framing>) -> (Node, Node) {
    let framings = framing.map_or_else(|| Framing::ALL.to_vec(), |framing| vec![framing]);
    let node = |id: &str| Node::builder().id(id).secret("hush hush hush hush").framings(framings.clone());
    let a = node("a").bind("127.0.0.1:0").start().await.unwrap();
    let b = node("b").seed(a.local_addrs()[0]).start().await.unwrap();
    let mut events = b.node_events();
    while b.connected_nodes().is_empty() {
        assert!(matches!(events.next().await, Some(NodeEvent::Up(_))));
    }
    (a, b)
}

/// What is recorded of frames: by connection, direction of a node, and mark.
fn frames(dump: &Dump) -> BTreeMap<(u64, Direction, Mark), u64> {
    let events = dump.records.iter().filter_map(|record| match record.event {
        Event::Frames { conn, dir, n, mark, .. } => Some(((conn, dir, mark), n)),
        _ => None,
    });
    events.collect()
}

/// The marks that `from` has passed as the writer, and `to` as the reader, with what each counted.
fn compared(from: &Dump, to: &Dump) -> Vec<(Mark, u64, u64)> {
    let taken = frames(to);
    let both = frames(from).into_iter().filter_map(|((conn, dir, mark), sent)| {
        let taken = *taken.get(&(conn, Direction::Taken, mark))?;
        (dir == Direction::Sent && mark != Mark::Break).then_some((mark, sent, taken))
    });
    both.collect()
}

/// Kills a port, and waits until it is dead.
async fn kill(node: &Node, port: &PortId, text: &str) {
    let exit = node.exited(port);
    node.kill(port, Reason::text("end", text));
    exit.await;
}

async fn send_some(from: &Node, to: &Node) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let port = to.port(move |_: &mut Context<'_>, (n,): (u64,)| sender.send(n).unwrap());
    (0..25).for_each(|n| from.send(&port, (n,)).unwrap());
    for n in 0..25 {
        assert_eq!(receiver.recv().await, Some(n));
    }
}

#[tokio::test]
async fn both_ends_of_a_connection_count_the_same_at_each_mark() {
    for framing in [None, Some(Framing::Cbor), Some(Framing::Json)] {
        let (a, b) = pair(framing).await;
        send_some(&a, &b).await;
        send_some(&b, &a).await;
        // Each asks the other for a mark, which stands in the later dump of that.
        let (first, _) = (a.dump("test").await, b.dump("test").await);
        let (of_a, of_b) = (a.dump("test").await, b.dump("test").await);
        assert!(of_a.records.len() > first.records.len());
        for (from, to) in [(&of_a, &of_b), (&of_b, &of_a)] {
            let marks = compared(from, to);
            assert!(!marks.is_empty(), "{framing:?}");
            for (mark, sent, taken) in marks {
                assert!(sent >= 25 && sent == taken, "{framing:?} {mark:?}: {sent} {taken}");
            }
        }
        assert!(b.shutdown().await.is_complete());
        let mut down = a.node_events();
        while !a.connected_nodes().is_empty() {
            assert!(matches!(down.next().await, Some(NodeEvent::Down(..))));
        }
        let ends = compared(&b.dump_now("test"), &a.dump_now("test"));
        let end = ends.iter().find(|(mark, ..)| *mark == Mark::End);
        assert!(end.is_some_and(|(_, sent, taken)| sent == taken && *sent > 25), "{framing:?} {ends:?}");
        a.shutdown().await;
    }
}

#[tokio::test]
async fn a_dump_can_be_asked_for_from_elsewhere_unless_the_node_is_in_secure_mode_or_has_none() {
    let (a, b) = pair(None).await;
    let dump = a.dump_of(b.id(), LIMIT).await.unwrap();
    assert!(dump.records.iter().all(|record| record.node == "b"));
    assert!(matches!(&dump.records[0].event, Event::Start { .. }));
    assert!(matches!(&dump.records.last().unwrap().event, Event::Dumped { overwritten: 0, .. }));
    assert!(dump.records.iter().any(|record| matches!(&record.event, Event::Up { peer, .. } if peer == "a")));
    b.set_secure(true);
    assert!(matches!(a.dump_of(b.id(), LIMIT).await, Err(AskError::Refused(_))));
    let off = Node::builder().id("off").recorder(0).start().await.unwrap();
    assert_eq!(off.dump("test").await, Dump::default());
    assert!(matches!(off.dump_of(off.id(), LIMIT).await, Err(AskError::Refused(_))));
}

#[tokio::test]
async fn a_large_dump_comes_whole() {
    let builder = |id: &str| Node::builder().id(id).secret("hush hush hush hush").recorder(8 << 20);
    let a = builder("a").bind("127.0.0.1:0").start().await.unwrap();
    let mut events = a.node_events();
    let many = builder("many").seed(a.local_addrs()[0]).start().await.unwrap();
    assert!(matches!(events.next().await, Some(NodeEvent::Up(_))));
    for n in 0..9000 {
        let port = many.port(|_: &mut Context<'_>, (): ()| {});
        kill(&many, port.port(), &n.to_string()).await;
    }
    let (asked, here) = (a.dump_of(many.id(), LIMIT).await.unwrap(), many.dump_now("test"));
    let died = |dump: &Dump| {
        let died = dump.records.iter().filter(|record| matches!(record.event, Event::PortDied { .. }));
        died.cloned().collect::<Vec<_>>()
    };
    assert!(died(&asked).len() == 9000 && died(&asked) == died(&here));
}

#[tokio::test]
async fn nothing_of_a_message_and_no_secret_is_in_a_dump() {
    let (a, b) = pair(None).await;
    let port = b.port(|_: &mut Context<'_>, _: (String, String)| {});
    a.send(&port, ("geheim-tag".to_owned(), "geheim-value".to_owned())).unwrap();
    kill(&a, port.port(), "geheim-reason").await;
    for dump in [a.dump("test").await, b.dump("test").await] {
        let lines = dump.to_lines();
        assert!(!lines.contains("geheim") && !lines.contains("hush"), "{lines}");
    }
    assert!(b.dump_now("test").to_lines().contains("\"reason\":[\"end\"]"));
}

#[tokio::test]
async fn a_recorder_keeps_to_its_bytes_and_says_what_it_has_overwritten() {
    let node = Node::builder().id("n").recorder(4096).start().await.unwrap();
    for _ in 0..500 {
        let port = node.port(|_: &mut Context<'_>, (): ()| {});
        kill(&node, port.port(), "").await;
    }
    let dump = node.dump("test").await;
    let Event::Dumped { overwritten, .. } = dump.records.last().unwrap().event else { panic!("{dump:?}") };
    assert!(overwritten > 400 && dump.records.len() < 100, "{overwritten}");
}
