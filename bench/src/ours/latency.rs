//! How long a message and its answer take while there is other work: at a share of the highest
//! rate, beside a large message, with a peer that is busy, and beside a busy port.
//!
//! The load is open: a thread sends when a message is due, however long the answers take, and a
//! message's time is counted from when it was due. So a pause of the system is seen by all messages
//! that it delays, not by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aemp::{Context, Node, PortId};
use tokio::sync::{mpsc, oneshot};

use super::remote::Far;
use super::work::Work;
use crate::measure::{Measured, Times};

/// Round trips under way when the highest rate is measured.
const WINDOW: u64 = 1024;
/// How long a thread waits for the window to open.
const PAUSE: Duration = Duration::from_micros(50);
/// Round trips with which the highest rate is measured, for each millisecond of the workload.
const PILOT: u64 = 100;
/// Probes where there is other work to be disturbed by.
const PROBES_PER_SECOND: f64 = 1000.0;
const LARGE: usize = 16 << 20;
/// What a busy port does with one message, in microseconds.
const BUSY: u64 = 50;
/// Messages that wait for a busy port at any time.
const BACKLOG: u64 = 256;

/// Runs a workload of this many milliseconds; `None` if nothing has this name.
pub(super) async fn run(system: &str, workload: &str, millis: u64) -> Option<Measured> {
    let began = Instant::now();
    if workload == "fair" {
        return Some(measured(&beside_a_busy_port(millis).await, began));
    }
    let share = match workload {
        "lat10" => 0.1,
        "lat50" => 0.5,
        "lat90" => 0.9,
        "lat-large" | "lat-slow" => 0.0,
        _ => return None,
    };
    let far = Far::start(system, workload).await?;
    if share > 0.0 {
        let highest = far.highest_rate(millis * PILOT).await;
        let times = probe(&far.node, &far.port, highest * share, millis).await;
        return Some(measured(&times, began).with("per_s", highest * share));
    }
    let disturbing = match workload {
        "lat-large" => tokio::spawn(far.stream_large()),
        _ => tokio::spawn(far.keep_busy().await),
    };
    let times = probe(&far.node, &far.port, PROBES_PER_SECOND, millis).await;
    disturbing.abort();
    Some(measured(&times, began))
}

fn measured(times: &Times, began: Instant) -> Measured {
    Measured::since(began, times.len()).with_figure(times.micros(99.0)).with_times(times)
}

/// When the messages of a load are sent.
#[derive(Clone, Copy)]
enum Pace {
    /// This many a second, however long the answers take.
    Open(f64),
    /// As soon as fewer than this many are without an answer.
    Window(u64),
}

/// Sends this many messages a second, and gives the times until their answers came.
async fn probe(node: &Node, to: &PortId, per_second: f64, millis: u64) -> Times {
    let count = ((per_second * millis as f64 / 1000.0) as u64).max(1);
    send_from_a_thread(node, to, count, Pace::Open(per_second)).await
}

/// A thread sends this many messages at this pace. Gives the times until the answers came, from
/// when each message was due.
async fn send_from_a_thread(node: &Node, to: &PortId, count: u64, pace: Pace) -> Times {
    let began = Instant::now();
    let due = move |n: u64| match pace {
        Pace::Open(per_second) => Duration::from_secs_f64(n as f64 / per_second),
        Pace::Window(_) => Duration::ZERO,
    };
    let (done, result) = oneshot::channel();
    let (mut done, mut times) = (Some(done), Some(Times::new()));
    let answered = Arc::new(AtomicU64::new(0));
    let seen = answered.clone();
    let prober = node.port(move |_: &mut Context<'_>, work: Work| {
        let (Work::Seen(n), Some(all)) = (work, &mut times) else { return };
        all.add(began.elapsed().saturating_sub(due(n)));
        if seen.fetch_add(1, Ordering::Relaxed) + 1 == count
            && let (Some(done), Some(times)) = (done.take(), times.take())
        {
            // Nobody waits any more if the workload was ended.
            let _ = done.send(times);
        }
    });
    let (node, to) = (node.clone(), to.clone());
    std::thread::spawn(move || {
        for n in 0..count {
            let early = || match pace {
                Pace::Window(most) if n - answered.load(Ordering::Relaxed) < most => Duration::ZERO,
                Pace::Window(_) => PAUSE,
                Pace::Open(_) => due(n).saturating_sub(began.elapsed()),
            };
            while let Some(wait) = Some(early()).filter(|wait| !wait.is_zero()) {
                std::thread::sleep(wait); // sleep: the load is defined by time
            }
            node.send(&to, Work::Ping(prober.port().clone(), n)).expect("it encodes");
        }
    });
    result.await.expect("all are answered")
}

impl Far {
    /// Round trips a second, sent as those are of which the time is taken, with many under way.
    async fn highest_rate(&self, count: u64) -> f64 {
        let began = Instant::now();
        send_from_a_thread(&self.node, &self.port, count, Pace::Window(WINDOW)).await;
        count as f64 / began.elapsed().as_secs_f64()
    }

    /// One large message after another.
    fn stream_large(&self) -> impl Future<Output = ()> + Send + 'static {
        let (me, mut answers) = self.listener();
        let (node, port) = (self.node.clone(), self.port.clone());
        async move {
            let until = Work::Until { count: u64::MAX, every: 1, port: me };
            node.send(&port, until).expect("it encodes");
            loop {
                node.send(&port, Work::Payload(vec![7; LARGE])).expect("it encodes");
                answers.recv().await;
            }
        }
    }

    /// Another port of the far end that never runs out of work.
    async fn keep_busy(&self) -> impl Future<Output = ()> + Send + 'static {
        let (sender, mut ports) = mpsc::unbounded_channel();
        let asker = self.node.port(move |_: &mut Context<'_>, work: Work| {
            if let Work::Ports(ports) = work {
                sender.send(ports).expect("the workload waits");
            }
        });
        self.send(Work::More(1, asker.into()));
        let busy = ports.recv().await.and_then(|mut ports| ports.pop()).expect("a port more");
        let (me, mut answers) = self.listener();
        let node = self.node.clone();
        async move {
            let every = BACKLOG / 2;
            node.send(&busy, Work::Until { count: u64::MAX, every, port: me }).expect("it encodes");
            let (mut sent, mut seen) = (0, 0);
            loop {
                while sent - seen < BACKLOG {
                    node.send(&busy, Work::Busy(BUSY)).expect("it encodes");
                    sent += 1;
                }
                seen = answers.recv().await.unwrap_or(seen);
            }
        }
    }
}

/// A small port on a node with a port that has always something to do.
async fn beside_a_busy_port(millis: u64) -> Times {
    let node = Node::builder().start().await.expect("it starts");
    let handled = Arc::new(AtomicU64::new(0));
    let busy = node.port(move |cx: &mut Context<'_>, work: Work| {
        if let Work::Busy(micros) = work {
            spin(micros);
            handled.fetch_add(1, Ordering::Relaxed);
            let me = cx.me();
            cx.send(&me, Work::Busy(micros));
        }
    });
    for _ in 0..BACKLOG {
        node.send(&busy, Work::Busy(BUSY)).expect("it encodes");
    }
    let small = node.port(|cx: &mut Context<'_>, work: Work| {
        if let Work::Ping(from, n) = work {
            cx.send(&from, Work::Seen(n));
        }
    });
    probe(&node, &small, PROBES_PER_SECOND, millis).await
}

/// Is busy for so long.
pub(super) fn spin(micros: u64) {
    let until = Instant::now() + Duration::from_micros(micros);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}
