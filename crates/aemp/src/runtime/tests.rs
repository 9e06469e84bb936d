//! What happens around the end of a connection, one step at a time: the links here lead to no
//! socket.

#![allow(clippy::unwrap_used)] // a test may

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use aemp_proto::kernel::{LinkId, Peer};
use aemp_proto::link::Terms;
use aemp_proto::wire::{Frame, FrameReader, Limits, Records, Request, native};
use aemp_proto::{Body, Framing, NodeId, PortId, Reason, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::outgoing::Outgoing;
use super::pump::Pump;
use super::tcp::Abort;
use super::{Command, Ended, Event};
use crate::message::ReplyTo;
use crate::node::Node;
use crate::port::{Context, Mailbox};
use crate::remote::Remote;

mod gates;
mod last_words;

const LIMIT: Duration = Duration::from_secs(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap()
}

/// A node, and a remote node as it stands in its table.
async fn node() -> (Node, Arc<Remote>) {
    let node = Node::builder().start().await.unwrap();
    let remote = node.remotes().get_or_create(&NodeId::new("far").unwrap());
    (node, remote)
}

/// As [`node`], with a port of the remote node, to which link 1 leads.
async fn linked() -> (Node, Arc<Remote>, PortId) {
    let (node, remote) = node().await;
    let far = remote.node.named("port");
    node.attach_remote(&remote, LinkId::dialled(1), Framing::Native);
    (node, remote, far)
}

/// What a handshake with it agrees on.
fn terms(remote: &Remote) -> Terms {
    Terms {
        peer: Peer {
            node: remote.node.clone(),
            incarnation: None,
            native: true,
            can_relay: true,
            client: false,
            via: None,
        },
        send: Framing::Native,
        receive: Framing::Native,
        heartbeat: Some(LIMIT),
        monitors: true,
        parts: true,
        tls: false,
        connection: 1,
    }
}

/// A connection with `far`, after its handshake.
struct Link {
    id: LinkId,
    /// The end of the peer.
    peer: DuplexStream,
    /// Commands of the driver.
    commands: mpsc::UnboundedSender<Command>,
    pump: JoinHandle<Ended>,
    seq: u64,
}

impl Abort for DuplexStream {
    fn reset_when_dropped(&self, _reset: bool) {}
}

impl Abort for ReadHalf<DuplexStream> {
    fn reset_when_dropped(&self, _reset: bool) {}
}

impl Link {
    fn attach(node: &Node, remote: &Arc<Remote>, id: LinkId) -> Link {
        node.attach_remote(remote, id, Framing::Native);
        let pump = Pump::new(node.clone(), id, terms(remote), remote.clone(), Default::default());
        let (peer, ours) = tokio::io::duplex(1 << 20);
        let (reader, writer) = tokio::io::split(ours);
        let (commands, mut receiver) = mpsc::unbounded_channel();
        let pump = tokio::spawn(async move { pump.run(reader, writer, &mut receiver).await });
        Link { id, peer, commands, pump, seq: 1 }
    }

    async fn send(&mut self, port: &str, body: &Body) {
        let mut bytes = Vec::new();
        native::write_message(&mut bytes, self.seq, port, body).unwrap();
        self.seq += 1;
        self.peer.write_all(&bytes).await.unwrap();
    }

    async fn request(&mut self, request: &Request) {
        self.send("", &request.encode().unwrap()).await;
    }

    /// The peer closes; everything that it sent has been dealt with afterwards.
    async fn end(self) {
        drop(self.peer);
        soon(self.pump).await.unwrap();
        drop(self.commands);
    }
}

fn counting(node: &Node) -> (PortId, mpsc::UnboundedReceiver<u64>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let port = node.port(move |_: &mut Context<'_>, (n,): (u64,)| sender.send(n).unwrap());
    (port.into(), receiver)
}

fn body(n: u64) -> Body {
    Body::encode(&[Value::from(n)]).unwrap()
}

/// What the outbox has for this link.
fn queued(remote: &Remote, link: LinkId) -> usize {
    let mut records = Records::default();
    assert!(remote.outbox.lock().take(link, &mut records));
    records.len()
}

#[tokio::test]
async fn nothing_of_a_broken_link_is_delivered() {
    let (node, remote) = node().await;
    let (port, mut received) = counting(&node);
    let name = port.name().to_string();
    let mut old = Link::attach(&node, &remote, LinkId::dialled(1));
    old.send(&name, &body(1)).await;
    assert_eq!(soon(received.recv()).await, Some(1));
    // The driver decides; the link's task has not heard of it and still has bytes to read.
    assert_eq!(node.break_remote(&remote, "test").link, Some(old.id));
    let mut new = Link::attach(&node, &remote, LinkId::dialled(2));
    old.send(&name, &body(2)).await;
    old.request(&Request::Monitor(name.clone())).await;
    old.end().await;
    new.send(&name, &body(3)).await;
    assert_eq!(soon(received.recv()).await, Some(3));
    new.request(&Request::Monitor(name.clone())).await;
    new.end().await;
    // One monitor: the new link's.
    assert_eq!(remote.watching.lock().link, Some(LinkId::dialled(2)));
    node.kill(&port, Reason::NORMAL);
    soon(node.exited(&port)).await;
    assert!(remote.watching.lock().is_empty());
    node.shutdown().await;
}

#[tokio::test]
async fn a_link_whose_writer_has_failed_can_be_closed() {
    let (node, remote) = node().await;
    let id = LinkId::dialled(1);
    node.attach_remote(&remote, id, Framing::Native);
    node.send(&remote.node.named("port"), ("lost",)).unwrap();
    let pump = Pump::new(node.clone(), id, terms(&remote), remote.clone(), Default::default());
    // It reads nothing, not even an end, and cannot write.
    let (_silent, reader) = tokio::io::duplex(1);
    let (gone, writer) = tokio::io::duplex(1);
    drop(gone);
    let (commands, mut receiver) = mpsc::unbounded_channel();
    let pump = tokio::spawn(async move { pump.run(reader, writer, &mut receiver).await });
    // This runtime has one thread: link and writer have done all they can when the test goes on.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    commands.send(Command::Close("test".into())).unwrap();
    assert_eq!(soon(pump).await.unwrap().reason, "test");
    node.shutdown().await;
}

#[tokio::test]
async fn what_fits_into_no_message_is_not_spawned_with() {
    let (node, remote) = node().await;
    node.attach_remote(&remote, LinkId::dialled(1), Framing::Native);
    let spawned = node.spawn(&remote.node, "f", ("x".repeat(65 << 20),));
    assert!(spawned.unwrap_err().to_string().contains("bytes"));
    assert_eq!(remote.outbox.lock().backlog(), 0);
    node.shutdown().await;
}

/// Says, when it is dropped, whether the reader of the link holds its lock.
struct Witness(Arc<Remote>, mpsc::UnboundedSender<bool>);

impl Drop for Witness {
    fn drop(&mut self) {
        self.1.send(self.0.delivering.is_locked()).unwrap();
    }
}

#[tokio::test]
async fn what_a_port_has_is_not_dropped_by_the_reader_of_a_link() {
    let (node, remote) = node().await;
    let (sender, mut told) = mpsc::unbounded_channel();
    let witness = Witness(remote.clone(), sender);
    let port = node.port(move |_: &mut Context<'_>, (): ()| {
        let _ = &witness;
    });
    let death = node.exited(&port);
    let mut link = Link::attach(&node, &remote, LinkId::dialled(1));
    link.request(&Request::Kill(port.name().to_string(), Reason::text("why", "not"))).await;
    assert_eq!(soon(told.recv()).await, Some(false));
    assert_eq!(soon(death).await.identifier().as_deref(), Some("why"));
    link.end().await;
    node.shutdown().await;
}

#[tokio::test]
async fn an_overflow_that_was_dealt_with_breaks_nothing() {
    let (node, remote) = node().await;
    node.attach_remote(&remote, LinkId::dialled(1), Framing::Native);
    node.event(Event::Overflow(remote.node.clone()));
    // The driver takes its events in order.
    node.db().keys("any").await.unwrap();
    assert_eq!(remote.outbox.lock().epoch(), 0);
    node.shutdown().await;
}

#[tokio::test]
async fn what_messages_of_a_node_keep_is_charged_to_it_when_it_has_gone_too() {
    let (node, remote) = node().await;
    let far = remote.node.clone();
    let charged = || node.inner().shared.budgets.of(&far).used();
    let slow = node.port_async(|_: Mailbox| std::future::pending());
    let mut link = Link::attach(&node, &remote, LinkId::dialled(1));
    let large = Body::encode(&[Value::Text("x".repeat(50_000))]).unwrap();
    for _ in 0..100 {
        link.send(&slow.name().to_string(), &large).await;
    }
    link.end().await;
    node.break_remote(&remote, "test");
    drop(remote);
    node.remotes().forget_if_idle(&far);
    assert!(charged() > 4 << 20, "{}", charged());
    node.kill(&slow, Reason::NORMAL);
    soon(node.exited(&slow)).await;
    node.remotes().forget_if_idle(&far);
    assert!(charged() == 0 && node.remotes().find(&far).is_none());
    node.shutdown().await;
}

#[tokio::test]
async fn nodes_that_were_named_and_are_not_reached_are_forgotten() {
    let (node, remote) = node().await;
    for n in 0..1000 {
        node.send(&NodeId::new(&format!("n{n}")).unwrap().named("port"), ("lost",)).unwrap();
    }
    // The driver takes its events in order.
    node.db().keys("any").await.unwrap();
    // The thread knows the last one still.
    assert!(node.remotes().all().len() <= 2, "{}", node.remotes().all().len());
    drop(remote);
    node.shutdown().await;
}

#[tokio::test]
async fn each_monitor_that_is_not_withdrawn_is_answered_and_the_port_keeps_one_entry_for_all() {
    let (node, remote) = node().await;
    let mut told = Vec::new();
    for (monitors, withdrawn) in [(1, 0), (3, 0), (3, 2), (2, 2)] {
        let (port, _received) = counting(&node);
        let name = port.name().to_string();
        let mut link = Link::attach(&node, &remote, LinkId::dialled(1));
        for _ in 0..monitors {
            link.request(&Request::Monitor(name.clone())).await;
        }
        for _ in 0..withdrawn {
            link.request(&Request::Unmonitor(name.clone())).await;
        }
        link.end().await;
        let charged = node.inner().shared.budgets.of(&remote.node).used();
        assert_eq!(charged > 0, monitors > withdrawn, "{charged}");
        let entries =
            node.table().get(node.own_number(&port).unwrap()).unwrap().make_extra().watchers.remote.len();
        assert_eq!(entries, usize::from(monitors > withdrawn));
        let before = remote.outbox.lock().backlog();
        node.kill(&port, Reason::text("why", "not"));
        soon(node.exited(&port)).await;
        told.push(remote.outbox.lock().backlog() - before);
        assert!(remote.watching.lock().is_empty());
        assert_eq!(node.inner().shared.budgets.of(&remote.node).used(), 0);
        remote.outbox.lock().break_now();
    }
    // A kil0 is a little more than a hundred bytes, by the length of the port's name.
    let answers: Vec<usize> = told.iter().map(|bytes| bytes / 100).collect();
    assert_eq!(answers, [1, 3, 1, 0], "{told:?}");
    node.shutdown().await;
}

#[tokio::test]
async fn pings_of_a_peer_that_does_not_read_fill_no_memory() {
    let (node, remote) = node().await;
    let outgoing = Outgoing::new((LinkId::dialled(1), 0), Framing::Native, None, Duration::ZERO);
    for n in 0..100_000 {
        outgoing.control(&remote, native::Control::Pong(n));
    }
    assert!(outgoing.waiting() <= 65 << 10);
    node.shutdown().await;
}

/// A TCP connection with `far`, after its handshake: the end of the peer, and why ours ends.
async fn attach_tcp(node: &Node, remote: &Arc<Remote>, send: Framing) -> (TcpStream, JoinHandle<Ended>) {
    let id = LinkId::dialled(1);
    node.attach_remote(remote, id, send);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (peer, _) = listener.accept().await.unwrap();
    let terms = Terms { send, ..terms(remote) };
    let pump = Pump::new(node.clone(), id, terms, remote.clone(), Default::default());
    let pump = tokio::spawn(async move {
        let (_commands, mut receiver) = mpsc::unbounded_channel();
        pump.run_tcp(ours, &mut receiver).await
    });
    while !remote.is_direct() {
        tokio::task::yield_now().await;
    }
    (peer, pump)
}

#[tokio::test]
async fn a_message_that_the_peer_s_framing_has_no_form_for_is_not_written_and_the_others_are() {
    let (node, remote) = node().await;
    let (mut peer, _pump) = attach_tcp(&node, &remote, Framing::Json).await;
    let target = remote.node.named("port");
    node.send(&target, (0.5,)).unwrap();
    assert!(node.send(&target, (f64::INFINITY,)).is_err());
    node.send(&target, (2.5,)).unwrap();
    let expected = "[\"port\",0.5][\"port\",2.5]";
    let mut received = vec![0; expected.len()];
    soon(peer.read_exact(&mut received)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&received), expected);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_many_threads_write_to_a_slow_socket_is_whole_and_in_order() {
    const SENDERS: u64 = 4;
    const EACH: u64 = 400;
    let (node, remote) = node().await;
    let (mut peer, _pump) = attach_tcp(&node, &remote, Framing::Native).await;
    let far = remote.node.named("port");
    let text = |n: u64| "x".repeat([0, 10, 20_000, 100_000][(n % 4) as usize]);
    for sender in 0..SENDERS {
        let target = far.clone();
        let send = move |node: &Node, n| node.send(&target, (sender, n, text(n))).unwrap();
        // Ports write at the end of their batch, others as soon as a good deal waits.
        if sender % 2 == 0 {
            let port = node.port(move |cx: &mut Context<'_>, (n,): (u64,)| send(cx.node(), n));
            (0..EACH).for_each(|n| node.send(&port, (n,)).unwrap());
        } else {
            let node = node.clone();
            tokio::task::spawn_blocking(move || (0..EACH).for_each(|n| send(&node, n)));
        }
    }
    // The socket is full long before the first byte is read; the reader checks the numbers of the
    // frames.
    let mut frames = FrameReader::new(Framing::Native, Limits::DEFAULT);
    let mut next = [0; SENDERS as usize];
    while next.iter().any(|next| *next < EACH) {
        frames.make_room();
        assert!(soon(peer.read_buf(frames.buffer())).await.unwrap() > 0);
        while let Some(frame) = frames.next().unwrap() {
            let Frame::Message { body, .. } = frame else { continue };
            let (sender, n, x): (usize, u64, String) = aemp_proto::typed::from_body(&body).unwrap();
            assert_eq!((n, x), (next[sender], text(n)));
            next[sender] += 1;
        }
    }
    node.shutdown().await;
}

/// A TCP connection, and what it is attached to; the commands of the driver.
async fn over_tcp(
    node: &Node,
    remote: &Arc<Remote>,
) -> (TcpStream, mpsc::UnboundedSender<Command>, JoinHandle<Ended>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (peer, _) = listener.accept().await.unwrap();
    let link = LinkId::dialled(1);
    node.attach_remote(remote, link, Framing::Native);
    let pump = Pump::new(node.clone(), link, terms(remote), remote.clone(), Default::default());
    let (commands, mut receiver) = mpsc::unbounded_channel();
    (peer, commands, tokio::spawn(async move { pump.run_tcp(ours, &mut receiver).await }))
}

/// An orderly end would wait behind what the peer cannot acknowledge, if it is only our side that
/// does not hear.
async fn was_reset(peer: &mut TcpStream) {
    // The half that was written may end first. To write is an error at once then, which it is not
    // after an orderly end.
    while peer.read(&mut [0; 64]).await.is_ok_and(|bytes| bytes > 0) {}
    assert!(peer.try_write(b"x").is_err());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_fell_silent_is_told_by_a_reset() {
    let (node, remote) = node().await;
    let (mut peer, _commands, pump) = over_tcp(&node, &remote).await;
    let reason = pump.await.unwrap().reason;
    assert!(reason.contains("nothing was heard"), "{reason}");
    was_reset(&mut peer).await;
}

#[tokio::test]
async fn a_connection_that_was_given_up_is_reset_though_the_peer_reads_nothing() {
    let (node, remote) = node().await;
    let (mut peer, commands, pump) = over_tcp(&node, &remote).await;
    let far = remote.node.named("port");
    let large = "x".repeat(8 << 20);
    // More than all buffers on the way hold, so that the writer waits.
    for _ in 0..4 {
        node.send(&far, (&large,)).unwrap();
    }
    remote.flush(&node);
    node.break_remote(&remote, "test");
    commands.send(Command::Close("test".into())).unwrap();
    soon(pump).await.unwrap();
    was_reset(&mut peer).await;
}

#[tokio::test]
async fn what_a_node_has_another_one_send_is_charged_to_it_while_it_waits_for_a_connection() {
    let (node, remote) = node().await;
    let budget = node.inner().shared.budgets.of(&remote.node);
    let nowhere = node.remotes().get_or_create(&NodeId::new("nowhere").unwrap());
    let link = LinkId::dialled(1);
    node.attach_remote(&remote, link, Framing::Native);
    let message = Body::encode(&[Value::Bytes(vec![0; 100_000].into())]).unwrap();
    let forwarded = Request::Send(nowhere.node.named("port"), message.clone());
    // This runtime has one thread: the driver, which finds no way to that node, runs when the test
    // waits.
    node.remote_request(&remote, link, forwarded.encode().unwrap(), None);
    // The same, asked of the own node port in between.
    let indirect = Request::Send(node.id().control_port(), forwarded.encode().unwrap());
    node.remote_request(&remote, link, indirect.encode().unwrap(), None);
    // What goes back to the one that asks does not wait.
    let back = Request::Send(remote.node.named("port"), message);
    node.remote_request(&remote, link, back.encode().unwrap(), None);
    let used = budget.used();
    assert!((260_000..270_000).contains(&used), "{used}");
    node.break_remote(&nowhere, "test");
    assert_eq!(budget.used(), 0);
    let little = aemp_proto::budget::Budget::new(100_000);
    assert!(
        nowhere.forwards(&remote.node, &little, 1000) && !nowhere.forwards(&remote.node, &little, 40_000)
    );
    node.shutdown().await;
}
