//! ractor, local, with its default features.

use peer_harness::{Framework, Task, run_local};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::sync::oneshot;

type Outcome<T> = Result<T, ActorProcessingErr>;

enum Work {
    Count(u64),
    Ask(u64, RpcReplyPort<u64>),
}

struct Counter;

struct Counting {
    left: u64,
    sum: u64,
    done: Option<oneshot::Sender<u64>>,
}

impl Actor for Counter {
    type Msg = Work;
    type State = Counting;
    type Arguments = (u64, Option<oneshot::Sender<u64>>);

    async fn pre_start(&self, _: ActorRef<Work>, (left, done): Self::Arguments) -> Outcome<Counting> {
        Ok(Counting { left, sum: 0, done })
    }

    async fn handle(&self, _: ActorRef<Work>, work: Work, state: &mut Counting) -> Outcome<()> {
        match work {
            Work::Count(n) => {
                state.sum = state.sum.wrapping_add(n);
                state.left -= 1;
                if state.left == 0
                    && let Some(done) = state.done.take()
                {
                    done.send(state.sum).expect("the workload waits");
                }
            }
            Work::Ask(n, reply) => reply.send(n + 1)?,
        }
        Ok(())
    }
}

enum Move {
    Begin(ActorRef<Move>, u64, oneshot::Sender<()>),
    Meet(ActorRef<Move>),
    Ball(u64),
}

struct Player;

#[derive(Default)]
struct Playing {
    opponent: Option<ActorRef<Move>>,
    left: u64,
    done: Option<oneshot::Sender<()>>,
}

impl Actor for Player {
    type Msg = Move;
    type State = Playing;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Move>, (): ()) -> Outcome<Playing> {
        Ok(Playing::default())
    }

    async fn handle(&self, _: ActorRef<Move>, work: Move, state: &mut Playing) -> Outcome<()> {
        match work {
            Move::Meet(opponent) => state.opponent = Some(opponent),
            Move::Begin(opponent, rounds, done) => {
                (state.left, state.done) = (rounds, Some(done));
                opponent.cast(Move::Ball(0))?;
                state.opponent = Some(opponent);
            }
            Move::Ball(n) => {
                if state.done.is_some() {
                    state.left -= 1;
                    if state.left == 0
                        && let Some(done) = state.done.take()
                    {
                        done.send(()).expect("the workload waits");
                        return Ok(());
                    }
                }
                state.opponent.as_ref().expect("they have met").cast(Move::Ball(n + 1))?;
            }
        }
        Ok(())
    }
}

struct Ractor;

impl Framework for Ractor {
    type Counter = ActorRef<Work>;
    type Player = ActorRef<Move>;

    async fn counter(&self, expected: u64, done: Option<oneshot::Sender<u64>>) -> ActorRef<Work> {
        Actor::spawn(None, Counter, (expected, done)).await.expect("it starts").0
    }

    async fn count(counter: &ActorRef<Work>, n: u64) {
        counter.cast(Work::Count(n)).expect("it lives");
    }

    async fn ask(counter: &ActorRef<Work>, n: u64) -> u64 {
        let answer = counter.call(|reply| Work::Ask(n, reply), None).await;
        answer.expect("it lives").expect("it answers")
    }

    async fn create_and_stop(&self, count: u64) {
        let mut actors = Vec::with_capacity(count as usize);
        for _ in 0..count {
            actors.push(Actor::spawn(None, Counter, (1, None)).await.expect("it starts"));
        }
        for (actor, _) in &actors {
            actor.stop(None);
        }
        for (_, handle) in actors {
            handle.await.expect("it ends");
        }
    }

    async fn players(&self) -> (ActorRef<Move>, ActorRef<Move>) {
        let (first, _) = Actor::spawn(None, Player, ()).await.expect("it starts");
        let (second, _) = Actor::spawn(None, Player, ()).await.expect("it starts");
        second.cast(Move::Meet(first.clone())).expect("it lives");
        (first, second)
    }

    async fn play(first: &ActorRef<Move>, second: &ActorRef<Move>, rounds: u64, done: oneshot::Sender<()>) {
        first.cast(Move::Begin(second.clone(), rounds, done)).expect("it lives");
    }
}

fn main() {
    run_local(Task::from_arguments(), || Ractor)
}
