//! The promise against real processes: killed, stopped and restarted ones.
//!
//! One port of this process sends numbered messages to a port in another process and monitors it.
//! Since sending and being told of a loss happen in one port, their order is known: between two
//! fires, what arrived must be a prefix of what was sent.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aemp::{Context, Node, PortId, Reason};
use support::LIMIT;
use tokio::sync::watch;
use tokio::time::timeout;

const MONITOR_TIMEOUT: Duration = Duration::from_secs(2);
const FAMILY: &str = "receiver";

/// Says in the environment that this process is the other one, and where it listens.
const BIND: &str = "AEMP_TEST_BIND";

/// What was sent between two fires, and what arrived of it.
#[derive(Debug, Default)]
struct Piece {
    sent: u64,
    arrived: Vec<u64>,
    reason: Option<Reason>,
}

type History = Arc<watch::Sender<Vec<Piece>>>;

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
}

fn builder(id: &str) -> aemp::Builder {
    Node::builder().id(id).secret("geheim").monitor_timeout(MONITOR_TIMEOUT)
}

/// The other process: a seed with a port that prints what arrives. Does nothing when it runs as a
/// test.
#[test]
fn other_process() {
    let Ok(bind) = std::env::var(BIND) else { return };
    run(async {
        let node = builder("receiver").bind(bind).start().await.unwrap();
        let port = node.port(|_: &mut Context<'_>, (piece, number): (usize, u64)| {
            writeln!(std::io::stdout(), "got {piece} {number}").unwrap();
        });
        node.db().register(FAMILY, &port).unwrap();
        writeln!(std::io::stdout(), "ready {}", node.local_addrs()[0]).unwrap();
        // Until it is killed, or the test is gone.
        tokio::task::spawn_blocking(|| std::io::stdin().lines().count()).await.unwrap();
    });
}

/// The other process, seen from here.
struct Receiver {
    child: Child,
    address: String,
}

impl Receiver {
    /// Starts it; what arrives there goes into the history.
    fn start(bind: &str, history: &History) -> Receiver {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "other_process", "--nocapture"])
            .env(BIND, bind)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.by_ref().find_map(|line| line.strip_prefix("ready ").map(String::from)).unwrap();
        let history = history.clone();
        std::thread::spawn(move || {
            for line in lines {
                let mut words = line.split(' ');
                if let (Some("got"), Some(piece), Some(number)) = (words.next(), words.next(), words.next()) {
                    let piece: usize = piece.parse().unwrap();
                    history.send_modify(|pieces| pieces[piece].arrived.push(number.parse().unwrap()));
                }
            }
        });
        Receiver { child, address }
    }

    fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Opens a port that sends to `target` for ever and writes the history.
fn send_from(node: &Node, target: PortId, history: &History) {
    let port = node.port(|_: &mut Context<'_>, (): ()| ());
    let history = history.clone();
    node.run_in(&port, move |cx| {
        begin(cx, target.clone(), history.clone());
        send(cx, target, history);
    });
}

/// Sets the monitor and begins a piece; the fire ends it and begins the next.
fn begin(cx: &mut Context<'_>, target: PortId, history: History) {
    history.send_modify(|pieces| pieces.push(Piece::default()));
    let again = target.clone();
    cx.monitor(&target, move |cx, reason| {
        history.send_modify(|pieces| pieces.last_mut().unwrap().reason = Some(reason));
        begin(cx, again, history);
    })
    .detach();
}

fn send(cx: &mut Context<'_>, target: PortId, history: History) {
    for _ in 0..20 {
        let (mut at, mut number) = (0, 0);
        history.send_modify(|pieces| {
            at = pieces.len() - 1;
            number = pieces[at].sent;
            pieces[at].sent += 1;
        });
        cx.send(&target, (at, number));
    }
    cx.after(Duration::from_millis(1), move |cx| send(cx, target, history));
}

/// Waits until the history is as wanted.
async fn until(what: &str, history: &History, wanted: impl Fn(&[Piece]) -> bool) -> Instant {
    let mut seen = history.subscribe();
    let done =
        timeout(LIMIT, seen.wait_for(|pieces| wanted(pieces))).await.is_ok_and(|pieces| pieces.is_ok());
    assert!(done, "{what} did not happen: {:?}", summary(history));
    Instant::now()
}

fn arrived(pieces: &[Piece], at: usize) -> usize {
    pieces.get(at).map_or(0, |piece| piece.arrived.len())
}

fn fired(pieces: &[Piece], at: usize) -> bool {
    pieces.get(at).is_some_and(|piece| piece.reason.is_some())
}

fn summary(history: &History) -> Vec<(u64, usize, Option<String>)> {
    let pieces = history.borrow();
    let last = pieces.len().saturating_sub(10);
    pieces[last..]
        .iter()
        .map(|p| (p.sent, p.arrived.len(), p.reason.as_ref().map(Reason::to_string)))
        .collect()
}

/// The invariant: of each piece a prefix arrived, in order, once.
fn check(history: &History) {
    for (at, piece) in history.borrow().iter().enumerate() {
        let hole = (0..).zip(&piece.arrived).find(|(expected, number)| expected != *number);
        assert!(hole.is_none(), "piece {at}: {hole:?}, in {} of {}", piece.arrived.len(), piece.sent);
        assert!(piece.arrived.len() as u64 <= piece.sent);
    }
}

async fn connect(receiver: &Receiver) -> (Node, PortId) {
    let node = builder("sender").bind("127.0.0.1:0").seed(receiver.address.clone()).start().await.unwrap();
    let port = registered(&node, |_| true).await;
    (node, port)
}

/// A process that receives, and a node whose messages arrive there.
async fn flowing() -> (History, Receiver, Node) {
    let history = History::default();
    let receiver = Receiver::start("127.0.0.1:0", &history);
    let (node, port) = connect(&receiver).await;
    send_from(&node, port, &history);
    until("an arrival", &history, |pieces| arrived(pieces, 0) > 100).await;
    (history, receiver, node)
}

/// A port of the family that is as wanted.
async fn registered(node: &Node, wanted: impl Fn(&PortId) -> bool) -> PortId {
    let mut watch = node.db().watch(FAMILY);
    let found = async {
        loop {
            let change = watch.next().await.unwrap();
            if let Some(port) = change.content.keys().map(|key| PortId::parse(key).unwrap()).find(&wanted) {
                return port;
            }
        }
    };
    tokio::time::timeout(LIMIT, found).await.unwrap()
}

#[test]
fn a_killed_process_is_noticed_at_once_and_its_successor_is_another() {
    run(async {
        let (history, second_history) = (History::default(), History::default());
        let receiver = Receiver::start("127.0.0.1:0", &history);
        let (node, first) = connect(&receiver).await;
        send_from(&node, first.clone(), &history);
        until("an arrival", &history, |pieces| arrived(pieces, 0) > 100).await;
        let killed = Instant::now();
        receiver.signal("KILL");
        let fired = until("the fire", &history, |pieces| fired(pieces, 0)).await;
        assert!(fired - killed < Duration::from_secs(1), "it took {:?}", fired - killed);
        let address = receiver.address.clone();
        drop(receiver);
        let _receiver = Receiver::start(&address, &second_history);
        let second = registered(&node, |port| *port != first).await;
        send_from(&node, second, &second_history);
        until("an arrival at the successor", &second_history, |pieces| {
            pieces.iter().any(|piece| piece.arrived.len() > 100)
        })
        .await;
        check(&history);
        check(&second_history);
        let pieces = history.borrow();
        assert!(pieces[1..].iter().all(|piece| piece.arrived.is_empty()), "a dead port got something");
        assert_eq!(
            pieces[0].reason.as_ref().and_then(Reason::identifier).as_deref(),
            Some("transport_error")
        );
    });
}

#[test]
fn a_stopped_process_is_noticed_after_the_limit_and_goes_on_when_it_continues() {
    run(async {
        let (history, receiver, _node) = flowing().await;
        let stopped = Instant::now();
        receiver.signal("STOP");
        let fired = until("the fire", &history, |pieces| fired(pieces, 0)).await;
        let silence = fired - stopped;
        // The upper bound leaves a busy machine another limit.
        assert!(silence >= MONITOR_TIMEOUT.mul_f64(0.7) && silence < MONITOR_TIMEOUT * 2, "{silence:?}");
        receiver.signal("CONT");
        until("arrivals again", &history, |pieces| pieces[1..].iter().any(|piece| piece.arrived.len() > 100))
            .await;
        check(&history);
    });
}

#[test]
fn a_process_that_stops_for_less_than_the_limit_is_not_lost() {
    run(async {
        let (history, receiver, _node) = flowing().await;
        receiver.signal("STOP");
        tokio::time::sleep(MONITOR_TIMEOUT.mul_f64(0.4)).await; // sleep: the process is stopped for this long
        receiver.signal("CONT");
        let sent = history.borrow()[0].sent;
        until("all arrivals", &history, |pieces| arrived(pieces, 0) as u64 > sent || pieces.len() > 1).await;
        check(&history);
        assert_eq!(history.borrow().len(), 1, "a monitor fired: {:?}", summary(&history));
    });
}
