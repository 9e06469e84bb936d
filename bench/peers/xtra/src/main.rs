//! xtra on tokio, with unbounded mailboxes.

use peer_harness::{Framework, Task, run_local};
use tokio::sync::oneshot;
use xtra::prelude::*;

#[derive(xtra::Actor)]
struct Counter {
    left: u64,
    sum: u64,
    done: Option<oneshot::Sender<u64>>,
}

struct Count(u64);
struct Ask(u64);
struct Stop;

impl Handler<Count> for Counter {
    type Return = ();

    async fn handle(&mut self, message: Count, _: &mut Context<Self>) {
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
    type Return = u64;

    async fn handle(&mut self, message: Ask, _: &mut Context<Self>) -> u64 {
        message.0 + 1
    }
}

impl Handler<Stop> for Counter {
    type Return = ();

    async fn handle(&mut self, _: Stop, cx: &mut Context<Self>) {
        cx.stop_self();
    }
}

#[derive(xtra::Actor, Default)]
struct Player {
    opponent: Option<Address<Player>>,
    left: u64,
    done: Option<oneshot::Sender<()>>,
}

struct Begin(Address<Player>, u64, oneshot::Sender<()>);
struct Meet(Address<Player>);
struct Ball(u64);

impl Handler<Meet> for Player {
    type Return = ();

    async fn handle(&mut self, message: Meet, _: &mut Context<Self>) {
        self.opponent = Some(message.0);
    }
}

impl Handler<Begin> for Player {
    type Return = ();

    async fn handle(&mut self, Begin(opponent, rounds, done): Begin, _: &mut Context<Self>) {
        (self.left, self.done) = (rounds, Some(done));
        // Only its queueing is waited for; the answer is not.
        let _ = opponent.send(Ball(0)).detach().await.expect("it lives");
        self.opponent = Some(opponent);
    }
}

impl Handler<Ball> for Player {
    type Return = ();

    async fn handle(&mut self, message: Ball, _: &mut Context<Self>) {
        if self.done.is_some() {
            self.left -= 1;
            if self.left == 0
                && let Some(done) = self.done.take()
            {
                return done.send(()).expect("the workload waits");
            }
        }
        let opponent = self.opponent.as_ref().expect("they have met");
        // As above.
        let _ = opponent.send(Ball(message.0 + 1)).detach().await.expect("it lives");
    }
}

struct Xtra;

fn start(left: u64, done: Option<oneshot::Sender<u64>>) -> Address<Counter> {
    xtra::spawn_tokio(Counter { left, sum: 0, done }, Mailbox::unbounded())
}

impl Framework for Xtra {
    type Counter = Address<Counter>;
    type Player = Address<Player>;

    async fn counter(&self, expected: u64, done: Option<oneshot::Sender<u64>>) -> Address<Counter> {
        start(expected, done)
    }

    async fn count(counter: &Address<Counter>, n: u64) {
        // Only its queueing is waited for; the answer is not.
        let _ = counter.send(Count(n)).detach().await.expect("it lives");
    }

    async fn ask(counter: &Address<Counter>, n: u64) -> u64 {
        counter.send(Ask(n)).await.expect("it answers")
    }

    async fn create_and_stop(&self, count: u64) {
        let actors: Vec<_> = (0..count).map(|_| start(1, None)).collect();
        for actor in &actors {
            // As above.
            let _ = actor.send(Stop).detach().await.expect("it lives");
        }
        for actor in actors {
            actor.join().await;
        }
    }

    async fn players(&self) -> (Address<Player>, Address<Player>) {
        let first = xtra::spawn_tokio(Player::default(), Mailbox::unbounded());
        let second = xtra::spawn_tokio(Player::default(), Mailbox::unbounded());
        second.send(Meet(first.clone())).await.expect("it lives");
        (first, second)
    }

    async fn play(first: &Address<Player>, second: &Address<Player>, rounds: u64, done: oneshot::Sender<()>) {
        // As above.
        let _ = first.send(Begin(second.clone(), rounds, done)).detach().await.expect("it lives");
    }
}

fn main() {
    run_local(Task::from_arguments(), || Xtra)
}
