//! The local workloads over what all frameworks have: actors that count, that answer, and that play
//! ping-pong.

use std::future::Future;
use std::hint::black_box;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::{BATCH, Measured, PAIRS, Task, resident};

/// A framework, as far as the workloads need it.
pub trait Framework: Send + Sync + Sized + 'static {
    /// An actor that adds up what it is sent.
    type Counter: Clone + Send + Sync + 'static;
    /// An actor that sends back what it is sent.
    type Player: Send + Sync + 'static;

    /// Starts a counter. After so many messages it says their sum.
    fn counter(
        &self,
        expected: u64,
        done: Option<oneshot::Sender<u64>>,
    ) -> impl Future<Output = Self::Counter> + Send;

    /// Sends a number.
    fn count(counter: &Self::Counter, n: u64) -> impl Future<Output = ()> + Send;

    /// Asks for the number after this one.
    fn ask(counter: &Self::Counter, n: u64) -> impl Future<Output = u64> + Send;

    /// Starts so many counters, stops them, and waits until they are gone.
    fn create_and_stop(&self, count: u64) -> impl Future<Output = ()> + Send;

    /// Starts two players that know each other.
    fn players(&self) -> impl Future<Output = (Self::Player, Self::Player)> + Send;

    /// Lets the first one of two players begin so many round trips, and says when they are over.
    fn play(
        first: &Self::Player,
        second: &Self::Player,
        rounds: u64,
        done: oneshot::Sender<()>,
    ) -> impl Future<Output = ()> + Send;
}

/// Runs a local workload and reports it. The framework is made in the runtime, which some of them
/// need.
pub fn run<F: Framework>(task: Task, make: impl FnOnce() -> F + Send + 'static) -> ! {
    let (workload, count) = (task.workload.clone(), task.count.unwrap_or(0));
    let measured = task.on_runtime(async move { measure(&make(), &workload, count).await });
    task.report(measured)
}

async fn measure<F: Framework>(framework: &F, workload: &str, count: u64) -> Option<Measured> {
    Some(match workload {
        "l1" => one_way(framework, 1, 1, count).await,
        "l1x4" => one_way(framework, 4, 1, count).await,
        "l1pairs" => one_way(framework, 1, PAIRS, count).await,
        "l2" => ping_pong(framework, 1, count).await,
        "l2pairs" => ping_pong(framework, PAIRS, count).await,
        "l3" => {
            let rounds = (count / BATCH).max(1);
            let began = Instant::now();
            for _ in 0..rounds {
                framework.create_and_stop(BATCH).await;
            }
            Measured::since(began, rounds * BATCH)
        }
        "l3mem" => memory(framework, count).await,
        "l4" => {
            let counter = framework.counter(1, None).await;
            let began = Instant::now();
            for n in 0..count {
                assert_eq!(F::ask(&counter, n).await, n + 1);
            }
            Measured::since(began, count)
        }
        _ => return None,
    })
}

/// So many producers to each of so many counters.
async fn one_way<F: Framework>(framework: &F, producers: u64, counters: u64, count: u64) -> Measured {
    let each = count / counters / producers;
    let (mut actors, mut sums) = (Vec::new(), Vec::new());
    for _ in 0..counters {
        let (done, sum) = oneshot::channel();
        actors.push(framework.counter(each * producers, Some(done)).await);
        sums.push(sum);
    }
    let began = Instant::now();
    for actor in &actors {
        for _ in 0..producers {
            let actor = actor.clone();
            tokio::spawn(async move {
                for n in 0..each {
                    F::count(&actor, n).await;
                }
            });
        }
    }
    for sum in sums {
        black_box(sum.await.expect("each counter says its sum"));
    }
    Measured::since(began, each * producers * counters)
}

async fn ping_pong<F: Framework>(framework: &F, pairs: u64, count: u64) -> Measured {
    let mut players = Vec::new();
    for _ in 0..pairs {
        players.push(framework.players().await);
    }
    let began = Instant::now();
    let mut ends = Vec::new();
    for (first, second) in &players {
        let (done, end) = oneshot::channel();
        F::play(first, second, count / pairs, done).await;
        ends.push(end);
    }
    for end in ends {
        end.await.expect("each pair ends");
    }
    Measured::since(began, count / pairs * pairs)
}

/// Bytes of an idle actor.
async fn memory<F: Framework>(framework: &F, count: u64) -> Measured {
    let mut actors = Vec::with_capacity(count as usize);
    let before = resident();
    let began = Instant::now();
    for _ in 0..count {
        actors.push(framework.counter(1, None).await);
    }
    if let Some(last) = actors.last() {
        F::ask(last, 1).await;
    }
    let measured = Measured::since(began, count);
    // sleep: some begin in the background, and none of them says when it has
    tokio::time::sleep(Duration::from_millis(500)).await;
    measured.with_figure((resident() - before) / count as f64)
}
