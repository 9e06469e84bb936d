//! actix: `actix` has two arbiters, with producers and consumers on different ones; `actix-1` has
//! everything on one.
//!
//! It has a runtime of its own, so the workloads are written again. Two actors of a pair are on one
//! arbiter, which is the better case for it: on two, a round trip takes hundreds of times as long.

use std::time::{Duration, Instant};

use actix::prelude::*;
use peer_harness::{BATCH, Measured, PAIRS, Task, resident};
use tokio::sync::oneshot;

struct Counter {
    left: u64,
    sum: u64,
    done: Option<oneshot::Sender<u64>>,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype(result = "()")]
struct Count(u64);

#[derive(Message)]
#[rtype(result = "u64")]
struct Ask(u64);

impl Handler<Count> for Counter {
    type Result = ();

    fn handle(&mut self, message: Count, _: &mut Self::Context) {
        self.sum = self.sum.wrapping_add(message.0);
        self.left -= 1;
        if self.left == 0
            && let Some(done) = self.done.take()
        {
            done.send(self.sum).expect("the workload waits");
        }
    }
}

impl Handler<Ask> for Counter {
    type Result = u64;

    fn handle(&mut self, message: Ask, _: &mut Self::Context) -> u64 {
        message.0 + 1
    }
}

/// An actor that tells when it has stopped.
struct Mortal(Option<oneshot::Sender<()>>);

impl Actor for Mortal {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Self::Context) {
        if let Some(done) = self.0.take() {
            done.send(()).expect("the workload waits");
        }
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Stop;

impl Handler<Stop> for Mortal {
    type Result = ();

    fn handle(&mut self, _: Stop, cx: &mut Self::Context) {
        cx.stop();
    }
}

#[derive(Default)]
struct Player {
    opponent: Option<Addr<Player>>,
    left: u64,
    done: Option<oneshot::Sender<()>>,
}

impl Actor for Player {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype(result = "()")]
struct Begin(Addr<Player>, u64, oneshot::Sender<()>);

#[derive(Message)]
#[rtype(result = "()")]
struct Meet(Addr<Player>);

#[derive(Message)]
#[rtype(result = "()")]
struct Ball(u64);

impl Handler<Meet> for Player {
    type Result = ();

    fn handle(&mut self, message: Meet, _: &mut Self::Context) {
        self.opponent = Some(message.0);
    }
}

impl Handler<Begin> for Player {
    type Result = ();

    fn handle(&mut self, Begin(opponent, rounds, done): Begin, _: &mut Self::Context) {
        (self.left, self.done) = (rounds, Some(done));
        opponent.do_send(Ball(0));
        self.opponent = Some(opponent);
    }
}

impl Handler<Ball> for Player {
    type Result = ();

    fn handle(&mut self, message: Ball, _: &mut Self::Context) {
        if self.done.is_some() {
            self.left -= 1;
            if self.left == 0
                && let Some(done) = self.done.take()
            {
                return done.send(()).expect("the workload waits");
            }
        }
        self.opponent.as_ref().expect("they have met").do_send(Ball(message.0 + 1));
    }
}

/// Where actors run: producers on the first one, consumers on the second one.
type Arbiters = [ArbiterHandle; 2];

fn counter(arbiters: &Arbiters, at: u64, left: u64, done: Option<oneshot::Sender<u64>>) -> Addr<Counter> {
    Counter::start_in_arbiter(&arbiters[at as usize % 2], move |_| Counter { left, sum: 0, done })
}

async fn one_way(arbiters: &Arbiters, producers: u64, counters: u64, count: u64) -> Measured {
    let each = count / counters / producers;
    let (mut actors, mut sums) = (Vec::new(), Vec::new());
    for at in 0..counters {
        let (done, sum) = oneshot::channel();
        actors.push(counter(arbiters, at + 1, each * producers, Some(done)));
        sums.push(sum);
    }
    let began = Instant::now();
    for (at, actor) in actors.iter().enumerate() {
        for _ in 0..producers {
            let actor = actor.clone();
            arbiters[at % 2].spawn(async move {
                for n in 0..each {
                    actor.do_send(Count(n));
                }
            });
        }
    }
    for sum in sums {
        sum.await.expect("each counter says its sum");
    }
    Measured::since(began, each * producers * counters)
}

async fn ping_pong(arbiters: &Arbiters, pairs: u64, count: u64) -> Measured {
    let mut players = Vec::new();
    for at in 0..pairs as usize {
        let first = Player::start_in_arbiter(&arbiters[at % 2], |_| Player::default());
        let second = Player::start_in_arbiter(&arbiters[at % 2], |_| Player::default());
        second.send(Meet(first.clone())).await.expect("it lives");
        players.push((first, second));
    }
    let began = Instant::now();
    let mut ends = Vec::new();
    for (first, second) in &players {
        let (done, end) = oneshot::channel();
        first.do_send(Begin(second.clone(), count / pairs, done));
        ends.push(end);
    }
    for end in ends {
        end.await.expect("each pair ends");
    }
    Measured::since(began, count / pairs * pairs)
}

/// Started from inside of their arbiter, as an actor would start its children.
async fn create_and_stop(arbiters: &Arbiters, count: u64) -> Measured {
    let rounds = (count / BATCH).max(1);
    let began = Instant::now();
    for _ in 0..rounds {
        let mut halves = Vec::new();
        for arbiter in arbiters {
            let (done, half) = oneshot::channel();
            arbiter.spawn(async move {
                let mut actors = Vec::with_capacity(BATCH as usize / 2);
                for _ in 0..BATCH / 2 {
                    let (done, stopped) = oneshot::channel();
                    actors.push((Mortal(Some(done)).start(), stopped));
                }
                for (actor, _) in &actors {
                    actor.do_send(Stop);
                }
                for (_, stopped) in actors {
                    stopped.await.expect("it stops");
                }
                done.send(()).expect("the workload waits");
            });
            halves.push(half);
        }
        for half in halves {
            half.await.expect("it ends");
        }
    }
    Measured::since(began, rounds * BATCH)
}

/// Bytes of an idle actor.
async fn memory(count: u64) -> Measured {
    let mut actors = Vec::with_capacity(count as usize);
    let before = resident();
    let began = Instant::now();
    for _ in 0..count {
        actors.push(Counter { left: 1, sum: 0, done: None }.start());
    }
    if let Some(last) = actors.last() {
        last.send(Ask(1)).await.expect("it answers");
    }
    let measured = Measured::since(began, count);
    // sleep: as for the other frameworks
    tokio::time::sleep(Duration::from_millis(500)).await;
    measured.with_figure((resident() - before) / count as f64)
}

async fn calls(arbiters: &Arbiters, count: u64) -> Measured {
    let actor = counter(arbiters, 1, 1, None);
    let (done, end) = oneshot::channel();
    let began = Instant::now();
    arbiters[1].spawn(async move {
        for n in 0..count {
            assert_eq!(actor.send(Ask(n)).await.expect("it answers"), n + 1);
        }
        done.send(()).expect("the workload waits");
    });
    end.await.expect("it ends");
    Measured::since(began, count)
}

fn main() {
    let task = Task::from_arguments();
    let (workload, count) = (task.workload.clone(), task.count.unwrap_or(0));
    let one = task.system == "actix-1";
    let measured = System::new().block_on(async move {
        let arbiters: Arbiters = if one {
            [Arbiter::current(), Arbiter::current()]
        } else {
            [Arbiter::new().handle(), Arbiter::new().handle()]
        };
        Some(match workload.as_str() {
            "l1" => one_way(&arbiters, 1, 1, count).await,
            "l1x4" => one_way(&arbiters, 4, 1, count).await,
            "l1pairs" => one_way(&arbiters, 1, PAIRS, count).await,
            "l2" => ping_pong(&arbiters, 1, count).await,
            "l2pairs" => ping_pong(&arbiters, PAIRS, count).await,
            "l3" => create_and_stop(&arbiters, count).await,
            "l3mem" => memory(count).await,
            "l4" => calls(&arbiters, count).await,
            _ => return None,
        })
    });
    task.report(measured)
}
