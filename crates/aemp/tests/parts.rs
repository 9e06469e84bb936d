//! A large message does not hold up small ones that have nothing to do with it, and a peer that
//! reads no parts gets none.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use aemp::{Context, Node, PortId, ReplyTo};
use aemp_proto::Body;
use aemp_proto::wire::write_message;
use support::raw::{Raw, SECRET};
use support::{LIMIT, builder, in_both_modes, soon};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// As large as a message may be.
const LARGE: usize = (64 << 20) - 16_384;

/// What has passed a [`gate`], and what may.
struct Gate {
    address: String,
    allow: watch::Sender<usize>,
    passed: watch::Receiver<usize>,
}

impl Gate {
    /// Lets this many bytes pass in all, and waits until they have, or as many as there are.
    async fn let_pass(&mut self, bytes: usize) {
        self.allow.send(bytes).unwrap();
        let passed = self.passed.wait_for(|passed| *passed >= bytes);
        soon("the bytes at the gate", passed).await.unwrap();
    }
}

/// Forwards one connection to `target`; what goes there no further than is allowed.
async fn gate(target: String) -> Gate {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (allow, mut allowed) = watch::channel(1 << 20);
    let (count, passed) = watch::channel(0);
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let ((mut near_in, mut near_out), (mut far_in, mut far_out)) =
            (near.into_split(), TcpStream::connect(&target).await.unwrap().into_split());
        tokio::spawn(async move { tokio::io::copy(&mut far_in, &mut near_out).await });
        let (mut buffer, mut sum) = (vec![0; 64 << 10], 0);
        loop {
            let allowed = *allowed.wait_for(|allowed| *allowed > sum).await.unwrap();
            let room = buffer.len().min(allowed - sum);
            let Ok(bytes @ 1..) = near_in.read(&mut buffer[..room]).await else { return };
            if far_out.write_all(&buffer[..bytes]).await.is_err() {
                return;
            }
            sum += bytes;
            let _ = count.send(sum);
        }
    });
    Gate { address, allow, passed }
}

/// Two nodes, the first of which reaches the second one through a gate.
async fn gated(mode: bool) -> (Gate, Node, Node) {
    let base = |id: &str| builder(mode).id(id).secret("s");
    let far = base("far").bind("127.0.0.1:0").start().await.unwrap();
    let gate = gate(far.local_addrs()[0].to_string()).await;
    let near = base("near").seed(gate.address.clone()).start().await.unwrap();
    (gate, near, far)
}

/// Opens a port that tells what arrives, by its name and the size of the text.
fn telling(node: &Node, name: &'static str, told: &mpsc::UnboundedSender<(&'static str, usize)>) -> PortId {
    let told = told.clone();
    node.port(move |_: &mut Context<'_>, (text,): (String,)| told.send((name, text.len())).unwrap()).into()
}

#[test]
fn small_messages_arrive_while_a_large_one_is_being_sent() {
    in_both_modes(async |mode| {
        let (mut gate, near, far) = gated(mode).await;
        let (told, mut arrived) = mpsc::unbounded_channel();
        let [bulk, other] = ["bulk", "other"].map(|name| telling(&far, name, &told));
        // Anyone who gets this asks the receiver of the large message: that has it by then.
        let asked = bulk.clone();
        let behind = far.port(move |cx: &mut Context<'_>, text: (String,)| cx.send(&asked, text));
        let doubling =
            far.port(|cx: &mut Context<'_>, (n, reply): (u64, ReplyTo<u64>)| cx.reply(reply, 2 * n));
        near.send(&other, ("up",)).unwrap();
        assert_eq!(soon("the connection", arrived.recv()).await, Some(("other", 2)));
        // A port sends the large message and then a small one, to another port of the same node.
        let sender = near.port(move |cx: &mut Context<'_>, (): ()| {
            cx.send(&bulk, ("x".repeat(LARGE),));
            cx.send(&behind, ("y",));
        });
        near.send(&sender, ()).unwrap();
        gate.let_pass(2 << 20).await;
        // Others send small ones. What stands in the buffers of sockets before them is far less
        // than half of the large one.
        near.send(&other, ("small",)).unwrap();
        gate.allow.send(LARGE / 2).unwrap();
        assert_eq!(soon("the small message", arrived.recv()).await, Some(("other", 5)));
        let answer = near.call(&doubling, LIMIT, |reply: ReplyTo<u64>| (21u64, reply)).await;
        assert_eq!(answer.unwrap(), 42);
        assert!(*gate.passed.borrow() <= LARGE / 2 && arrived.try_recv().is_err());
        gate.allow.send(usize::MAX).unwrap();
        assert_eq!(soon("the large message", arrived.recv()).await, Some(("bulk", LARGE)));
        assert_eq!(soon("what is behind it", arrived.recv()).await, Some(("bulk", 1)));
        near.shutdown().await;
        far.shutdown().await;
    });
}

#[test]
fn a_large_message_that_is_cut_off_is_lost_with_what_is_behind_it_and_monitors_fire() {
    in_both_modes(async |mode| {
        let (mut gate, near, far) = gated(mode).await;
        let (told, mut arrived) = mpsc::unbounded_channel();
        let bulk = telling(&far, "bulk", &told);
        near.send(&bulk, ("up",)).unwrap();
        assert_eq!(soon("the connection", arrived.recv()).await, Some(("bulk", 2)));
        let fired = near.exited(&bulk);
        near.send(&bulk, ("x".repeat(LARGE),)).unwrap();
        near.send(&bulk, ("y",)).unwrap();
        gate.let_pass(2 << 20).await;
        far.shutdown().await;
        let reason = soon("the monitor", fired).await;
        assert_eq!(reason.to_string().split(' ').next(), Some("transport_error:"), "{reason}");
        assert!(arrived.try_recv().is_err());
        near.shutdown().await;
    });
}

/// A native peer made by hand, with these capabilities, over a connection that is up.
async fn peer(node: &Node, caps: &str) -> Raw {
    let mut raw = Raw::connect(node).await;
    let caps = if caps.is_empty() { String::new() } else { format!(";caps={caps}") };
    let greeting =
        format!("aemp;1;raw;hmac_sha3_512;aemp1;role=c;inc=00000000000000000000000000000001;hb=30{caps}");
    raw.authenticate(&greeting, "aemp1").await;
    assert!(raw.line().await.starts_with(b"hmac_sha3_512;"));
    raw
}

/// The first bytes of the frames that the node sends, until one has come that ends with `last`.
async fn kinds_until(raw: &mut Raw, last: &[u8]) -> Vec<(u8, usize)> {
    let mut kinds = Vec::new();
    loop {
        let len = raw.reader.read_u32_le().await.unwrap() as usize;
        let mut frame = vec![0; len];
        raw.reader.read_exact(&mut frame).await.unwrap();
        kinds.push((frame[0], len));
        if frame.ends_with(last) {
            return kinds;
        }
    }
}

#[test]
fn only_a_peer_that_says_that_it_reads_parts_gets_them() {
    in_both_modes(async |mode| {
        let node = builder(mode).id("n").secret(SECRET).bind("127.0.0.1:0").start().await.unwrap();
        let port = aemp::NodeId::new("raw").unwrap().named("port");
        for (caps, parts) in [("", false), ("ack,carry", false), ("ack,part", true), ("new,part,ack", true)] {
            let mut events = node.node_events();
            let mut raw = peer(&node, caps).await;
            soon("the connection", async {
                while node.connected_nodes().is_empty() {
                    events.next().await.unwrap();
                }
            })
            .await;
            node.send(&port, ("x".repeat(4 << 20),)).unwrap();
            node.send(&port, ("the end",)).unwrap();
            let kinds = soon("the messages", kinds_until(&mut raw, b"the end")).await;
            let whole = kinds.iter().any(|(kind, len)| *kind == 1 && *len > 4 << 20);
            assert_eq!(whole, !parts, "{caps}: {kinds:?}");
            let cut = kinds.iter().filter(|(kind, len)| *kind == 2 && *len <= 513 << 10).count();
            assert!(if parts { cut >= 8 } else { cut == 0 }, "{caps}: {kinds:?}");
            drop(raw);
            soon("the end of the connection", async {
                while !node.connected_nodes().is_empty() {
                    events.next().await.unwrap();
                }
            })
            .await;
        }
        node.shutdown().await;
    });
}

#[test]
fn bad_parts_end_the_connection_and_good_ones_arrive() {
    in_both_modes(async |mode| {
        let node = builder(mode).id("n").secret(SECRET).bind("127.0.0.1:0").start().await.unwrap();
        let (told, mut arrived) = mpsc::unbounded_channel();
        let port = telling(&node, "port", &told);
        let body = Body::encode(&["x".repeat(300).into()]).unwrap();
        let mut frame = Vec::new();
        write_message(&mut frame, 1, &port.name().to_string(), &body).unwrap();
        let payload = &frame[16..];
        let part = |seq: u64, number: u32, left: usize, piece: &[u8]| {
            let mut out = (20 + piece.len() as u32).to_le_bytes().to_vec();
            out.extend([2, 0]);
            out.extend(seq.to_le_bytes());
            out.extend([0, 0]);
            out.extend(number.to_le_bytes());
            out.extend((left as u32).to_le_bytes());
            out.extend(piece);
            out
        };
        let all = payload.len();
        let good = [part(0, 1, all, &payload[..100]), part(1, 1, all - 100, &payload[100..])].concat();
        let bad = [
            part(0, 3, 100, b"of nothing"),
            part(0, 1, 100, b"of what is finished"),
            part(0, 2, 1 << 31, b"of something too long"),
            [part(0, 2, 100, b"a first"), part(0, 2, 100, b"and another one")].concat(),
        ];
        for bad in bad {
            let mut raw = peer(&node, "part").await;
            raw.send(&good).await;
            raw.send(&bad).await;
            assert_eq!(soon("the good one", arrived.recv()).await, Some(("port", 300)));
            raw.closed().await;
        }
        node.shutdown().await;
    });
}
