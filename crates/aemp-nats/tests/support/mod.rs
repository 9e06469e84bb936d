//! What the tests over NATS share: servers, nodes, and a sender and a receiver whose history is
//! judged by the promise.

#![allow(dead_code)] // each test uses a part
#![allow(clippy::unwrap_used)] // a test may

pub(crate) mod fake;
pub(crate) mod server;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aemp::{Addr, Builder, Context, Node, PortId, Reason};
use aemp_nats::Nats;
use tokio::sync::watch;

/// Long enough for any machine; reached only by a test that fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Waits for something that must happen.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen within {LIMIT:?}"),
    }
}

pub(crate) fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(test);
}

/// Key and certificate that all nodes of a network share.
pub(crate) fn bundle() -> &'static str {
    static BUNDLE: OnceLock<String> = OnceLock::new();
    BUNDLE.get_or_init(new_bundle)
}

pub(crate) fn new_bundle() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
    format!("{}{}", key.serialize_pem(), certificate.pem())
}

/// A node that is reached over NATS only.
pub(crate) fn builder(id: &str, address: &str) -> Builder {
    Node::builder().id(id).certificate_pem(bundle()).broker(Nats::new([address]).unwrap())
}

/// Waits until a node has a connection to another one.
pub(crate) async fn up(node: &Node, other: &str) {
    let mut events = node.node_events();
    soon("the connection", async {
        while !node.connected_nodes().iter().any(|node| node.as_str() == other) {
            events.next().await.unwrap();
        }
    })
    .await;
}

/// What was sent between two fires of a monitor, and what arrived of it.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    pub(crate) sent: u64,
    pub(crate) arrived: u64,
    pub(crate) reason: Option<Reason>,
    /// What is wrong with what arrived, if anything.
    wrong: Option<String>,
}

impl Segment {
    pub(crate) fn is_wrong(&self) -> bool {
        self.wrong.is_some()
    }
}

pub(crate) type History = Arc<watch::Sender<Vec<Segment>>>;

pub(crate) fn history() -> History {
    Arc::new(watch::Sender::new(Vec::new()))
}

/// A port that takes numbers, and finds those that are missing, come twice or out of order.
pub(crate) fn receiver(node: &Node, history: &History) -> Addr<(usize, u64, String)> {
    let history = history.clone();
    let mut last = 0;
    node.port(move |_: &mut Context<'_>, (at, number, _): (usize, u64, String)| {
        history.send_modify(|pieces| {
            let piece = &mut pieces[at];
            if number != piece.arrived || at < last {
                let wrong = format!("{number} came after {} of piece {at}, and {last} before", piece.arrived);
                piece.wrong.get_or_insert(wrong);
            }
            piece.arrived += 1;
            last = at;
        });
    })
}

/// Opens a port that sends numbers to `target`, `total` in all, and monitors it; each fire begins a
/// new piece.
pub(crate) fn send_from(node: &Node, target: &PortId, total: u64, history: &History) {
    let port = node.port(|_: &mut Context<'_>, (): ()| ());
    let (target, history) = (target.clone(), history.clone());
    node.run_in(&port, move |cx| {
        begin(cx, target.clone(), history.clone());
        send(cx, target, total, history);
    });
}

fn begin(cx: &mut Context<'_>, target: PortId, history: History) {
    history.send_modify(|pieces| pieces.push(Segment::default()));
    let again = target.clone();
    cx.monitor(&target, move |cx, reason| {
        history.send_modify(|pieces| pieces.last_mut().unwrap().reason = Some(reason));
        begin(cx, again, history);
    })
    .detach();
}

fn send(cx: &mut Context<'_>, target: PortId, mut total: u64, history: History) {
    for _ in 0..total.min(500) {
        total -= 1;
        let (mut at, mut number) = (0, 0);
        history.send_modify(|pieces| {
            at = pieces.len() - 1;
            number = pieces[at].sent;
            pieces[at].sent += 1;
        });
        cx.send(&target, (at, number, "x".repeat(50)));
    }
    if total > 0 {
        cx.after(Duration::from_millis(1), move |cx| send(cx, target, total, history));
    }
}

/// Waits until the history is as wanted.
pub(crate) async fn until(what: &str, history: &History, wanted: impl Fn(&[Segment]) -> bool) {
    let mut seen = history.subscribe();
    let done = tokio::time::timeout(LIMIT, seen.wait_for(|pieces| wanted(pieces))).await;
    let all = || format!("{:?}", history.borrow().iter().take(5).collect::<Vec<_>>());
    assert!(done.is_ok_and(|seen| seen.is_ok()), "{what} did not happen: {}", all());
}

/// All that arrived.
pub(crate) fn arrived(pieces: &[Segment]) -> u64 {
    pieces.iter().map(|piece| piece.arrived).sum()
}

/// The promise: of each piece a prefix has arrived, in order, once, and before what came after.
pub(crate) fn check(history: &History) {
    for piece in &*history.borrow() {
        assert_eq!(piece.wrong, None);
        assert!(piece.arrived <= piece.sent);
        assert!(piece.reason.is_some() || piece.arrived == piece.sent, "a silent hole: {piece:?}");
    }
}
