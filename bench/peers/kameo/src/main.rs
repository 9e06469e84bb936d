//! kameo, local, with its default features: `kameo` has unbounded mailboxes, `kameo-bounded` those
//! that it gives by default.

use kameo::mailbox::{self, MailboxReceiver, MailboxSender};
use kameo::prelude::*;
use peer_harness::{Framework, Task, run_local};
use tokio::sync::oneshot;

/// Places of a mailbox unless something else is asked for.
const PLACES: usize = 64;

#[derive(Actor)]
struct Counter {
    left: u64,
    sum: u64,
    done: Option<oneshot::Sender<u64>>,
}

struct Count(u64);
struct Ask(u64);

impl Message<Count> for Counter {
    type Reply = ();

    async fn handle(&mut self, message: Count, _: &mut Context<Self, ()>) {
        self.sum = self.sum.wrapping_add(message.0);
        self.left -= 1;
        if self.left == 0
            && let Some(done) = self.done.take()
        {
            done.send(self.sum).expect("the workload waits");
        }
    }
}

impl Message<Ask> for Counter {
    type Reply = u64;

    async fn handle(&mut self, message: Ask, _: &mut Context<Self, u64>) -> u64 {
        message.0 + 1
    }
}

#[derive(Actor, Default)]
struct Player {
    opponent: Option<ActorRef<Player>>,
    left: u64,
    done: Option<oneshot::Sender<()>>,
}

struct Begin(ActorRef<Player>, u64, oneshot::Sender<()>);
struct Meet(ActorRef<Player>);
struct Ball(u64);

impl Message<Meet> for Player {
    type Reply = ();

    async fn handle(&mut self, message: Meet, _: &mut Context<Self, ()>) {
        self.opponent = Some(message.0);
    }
}

impl Message<Begin> for Player {
    type Reply = ();

    async fn handle(&mut self, Begin(opponent, rounds, done): Begin, _: &mut Context<Self, ()>) {
        (self.left, self.done) = (rounds, Some(done));
        opponent.tell(Ball(0)).send().await.expect("it lives");
        self.opponent = Some(opponent);
    }
}

impl Message<Ball> for Player {
    type Reply = ();

    async fn handle(&mut self, message: Ball, _: &mut Context<Self, ()>) {
        if self.done.is_some() {
            self.left -= 1;
            if self.left == 0
                && let Some(done) = self.done.take()
            {
                return done.send(()).expect("the workload waits");
            }
        }
        let opponent = self.opponent.as_ref().expect("they have met");
        opponent.tell(Ball(message.0 + 1)).send().await.expect("it lives");
    }
}

struct Kameo {
    bounded: bool,
}

impl Kameo {
    fn mailbox<A: Actor>(&self) -> (MailboxSender<A>, MailboxReceiver<A>) {
        if self.bounded { mailbox::bounded(PLACES) } else { mailbox::unbounded() }
    }

    fn start(&self, left: u64, done: Option<oneshot::Sender<u64>>) -> ActorRef<Counter> {
        Counter::spawn_with_mailbox(Counter { left, sum: 0, done }, self.mailbox())
    }
}

impl Framework for Kameo {
    type Counter = ActorRef<Counter>;
    type Player = ActorRef<Player>;

    async fn counter(&self, expected: u64, done: Option<oneshot::Sender<u64>>) -> ActorRef<Counter> {
        self.start(expected, done)
    }

    async fn count(counter: &ActorRef<Counter>, n: u64) {
        counter.tell(Count(n)).send().await.expect("it lives");
    }

    async fn ask(counter: &ActorRef<Counter>, n: u64) -> u64 {
        counter.ask(Ask(n)).send().await.expect("it answers")
    }

    async fn create_and_stop(&self, count: u64) {
        let actors: Vec<_> = (0..count).map(|_| self.start(1, None)).collect();
        for actor in &actors {
            actor.stop_gracefully().await.expect("it lives");
        }
        for actor in actors {
            actor.wait_for_shutdown().await;
        }
    }

    async fn players(&self) -> (ActorRef<Player>, ActorRef<Player>) {
        let first = Player::spawn_with_mailbox(Player::default(), self.mailbox());
        let second = Player::spawn_with_mailbox(Player::default(), self.mailbox());
        second.tell(Meet(first.clone())).send().await.expect("it lives");
        (first, second)
    }

    async fn play(
        first: &ActorRef<Player>,
        second: &ActorRef<Player>,
        rounds: u64,
        done: oneshot::Sender<()>,
    ) {
        first.tell(Begin(second.clone(), rounds, done)).send().await.expect("it lives");
    }
}

fn main() {
    let task = Task::from_arguments();
    let bounded = task.system.starts_with("kameo-bounded");
    run_local(task, move || Kameo { bounded })
}
