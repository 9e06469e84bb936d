//! coerce, with local actors that are in no registry.

use async_trait::async_trait;
use coerce::actor::context::ActorContext;
use coerce::actor::message::{Handler, Message};
use coerce::actor::system::ActorSystem;
use coerce::actor::{Actor, LocalActorRef};
use peer_harness::{Framework, Task, run_local};
use tokio::sync::oneshot;

struct Counter {
    left: u64,
    sum: u64,
    done: Option<oneshot::Sender<u64>>,
}

impl Actor for Counter {}

struct Count(u64);

impl Message for Count {
    type Result = ();
}

struct Ask(u64);

impl Message for Ask {
    type Result = u64;
}

#[async_trait]
impl Handler<Count> for Counter {
    async fn handle(&mut self, message: Count, _: &mut ActorContext) {
        self.sum = self.sum.wrapping_add(message.0);
        self.left -= 1;
        if self.left == 0
            && let Some(done) = self.done.take()
        {
            done.send(self.sum).expect("the workload waits");
        }
    }
}

#[async_trait]
impl Handler<Ask> for Counter {
    async fn handle(&mut self, message: Ask, _: &mut ActorContext) -> u64 {
        message.0 + 1
    }
}

#[derive(Default)]
struct Player {
    opponent: Option<LocalActorRef<Player>>,
    left: u64,
    done: Option<oneshot::Sender<()>>,
}

impl Actor for Player {}

struct Begin(LocalActorRef<Player>, u64, oneshot::Sender<()>);

impl Message for Begin {
    type Result = ();
}

struct Meet(LocalActorRef<Player>);

impl Message for Meet {
    type Result = ();
}

struct Ball(u64);

impl Message for Ball {
    type Result = ();
}

#[async_trait]
impl Handler<Meet> for Player {
    async fn handle(&mut self, message: Meet, _: &mut ActorContext) {
        self.opponent = Some(message.0);
    }
}

#[async_trait]
impl Handler<Begin> for Player {
    async fn handle(&mut self, Begin(opponent, rounds, done): Begin, _: &mut ActorContext) {
        (self.left, self.done) = (rounds, Some(done));
        opponent.notify(Ball(0)).expect("it lives");
        self.opponent = Some(opponent);
    }
}

#[async_trait]
impl Handler<Ball> for Player {
    async fn handle(&mut self, message: Ball, _: &mut ActorContext) {
        if self.done.is_some() {
            self.left -= 1;
            if self.left == 0
                && let Some(done) = self.done.take()
            {
                return done.send(()).expect("the workload waits");
            }
        }
        self.opponent.as_ref().expect("they have met").notify(Ball(message.0 + 1)).expect("it lives");
    }
}

struct Coerce(ActorSystem);

impl Framework for Coerce {
    type Counter = LocalActorRef<Counter>;
    type Player = LocalActorRef<Player>;

    async fn counter(&self, expected: u64, done: Option<oneshot::Sender<u64>>) -> LocalActorRef<Counter> {
        self.0.new_anon_actor(Counter { left: expected, sum: 0, done }).await.expect("it starts")
    }

    async fn count(counter: &LocalActorRef<Counter>, n: u64) {
        counter.notify(Count(n)).expect("it lives");
    }

    async fn ask(counter: &LocalActorRef<Counter>, n: u64) -> u64 {
        counter.send(Ask(n)).await.expect("it answers")
    }

    async fn create_and_stop(&self, count: u64) {
        let mut actors = Vec::with_capacity(count as usize);
        for _ in 0..count {
            actors.push(self.counter(1, None).await);
        }
        for actor in &actors {
            actor.notify_stop().expect("it lives");
        }
        for actor in &actors {
            // A message to an actor that is stopping is at times never answered, so it is asked
            // like this.
            while actor.is_valid() {
                tokio::task::yield_now().await;
            }
        }
    }

    async fn players(&self) -> (LocalActorRef<Player>, LocalActorRef<Player>) {
        let first = self.0.new_anon_actor(Player::default()).await.expect("it starts");
        let second = self.0.new_anon_actor(Player::default()).await.expect("it starts");
        second.send(Meet(first.clone())).await.expect("it lives");
        (first, second)
    }

    async fn play(
        first: &LocalActorRef<Player>,
        second: &LocalActorRef<Player>,
        rounds: u64,
        done: oneshot::Sender<()>,
    ) {
        first.notify(Begin(second.clone(), rounds, done)).expect("it lives");
    }
}

fn main() {
    run_local(Task::from_arguments(), || Coerce(ActorSystem::new()))
}
