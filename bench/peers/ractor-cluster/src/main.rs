//! ractor_cluster: two nodes over loopback. The actor of the far end joins a process group, and
//! this process finds it there.

use std::collections::VecDeque;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use peer_harness::{ACK_EVERY, Measured, PAYLOAD, Peer, Task, WINDOW, ready};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use ractor_cluster::{NodeServer, NodeServerMessage, RactorClusterMessage};

type Outcome<T> = Result<T, ActorProcessingErr>;

const GROUP: &str = "counters";

#[derive(RactorClusterMessage)]
enum Work {
    Count(u32, u64),
    Payload(Vec<u8>),
    #[rpc]
    Ping(u64, RpcReplyPort<u64>),
    /// Answered once so many have come.
    #[rpc]
    Until(u64, RpcReplyPort<u64>),
}

struct Counter;

#[derive(Default)]
struct Counting {
    count: u64,
    sum: u64,
    waiting: Vec<(u64, RpcReplyPort<u64>)>,
}

impl Actor for Counter {
    type Msg = Work;
    type State = Counting;
    type Arguments = ();

    async fn pre_start(&self, me: ActorRef<Work>, (): ()) -> Outcome<Counting> {
        ractor::pg::join(GROUP.into(), vec![me.get_cell()]);
        Ok(Counting::default())
    }

    async fn handle(&self, _: ActorRef<Work>, work: Work, state: &mut Counting) -> Outcome<()> {
        match work {
            Work::Count(_, n) => {
                state.sum = state.sum.wrapping_add(n);
                state.count += 1;
            }
            Work::Payload(bytes) => {
                state.sum = state.sum.wrapping_add(u64::from(bytes[1]));
                state.count += 1;
            }
            Work::Ping(n, reply) => reply.send(n)?,
            Work::Until(count, reply) => state.waiting.push((count, reply)),
        }
        while let Some(at) = state.waiting.iter().position(|(count, _)| state.count >= *count) {
            state.waiting.swap_remove(at).1.send(state.count)?;
        }
        Ok(())
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

async fn node(name: &str, port: u16) -> ActorRef<NodeServerMessage> {
    let address = "127.0.0.1".parse().expect("an address");
    let server = NodeServer::new(port, "cookie".into(), name.into(), "127.0.0.1".into(), None, None);
    Actor::spawn(None, server.with_listen_addr(address), ()).await.expect("it starts").0
}

async fn far_end() {
    let port = free_port();
    let _node = node("peer", port).await;
    let _counter = Actor::spawn(None, Counter, ()).await.expect("it starts");
    // sleep: the server does not say when it listens
    tokio::time::sleep(Duration::from_millis(100)).await;
    ready(&port.to_string());
    std::future::pending::<()>().await;
}

async fn until(counter: &ActorRef<Work>, count: u64) -> u64 {
    let answer = counter.call(|reply| Work::Until(count, reply), None).await;
    answer.expect("it lives").expect("it answers")
}

async fn measure(workload: &str, count: u64, far: u16) -> Option<Measured> {
    let me = node("me", free_port()).await;
    ractor_cluster::client_connect(&me, ("127.0.0.1", far)).await.expect("the far end listens");
    let counter: ActorRef<Work> = loop {
        let members = ractor::pg::get_members(&GROUP.to_string());
        if let Some(far) = members.into_iter().find(|member| !member.get_id().is_local()) {
            break far.into();
        }
        // sleep: the group does not say when somebody joins
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    Some(match workload {
        "r1" => one_way(&counter, count).await,
        "r2" => round_trips(&counter, count).await,
        "r3" => payloads(&counter, count).await,
        _ => return None,
    })
}

async fn one_way(counter: &ActorRef<Work>, count: u64) -> Measured {
    let began = Instant::now();
    for n in 0..count {
        counter.cast(Work::Count(1, n)).expect("it lives");
    }
    assert_eq!(until(counter, count).await, count);
    Measured::since(began, count)
}

async fn round_trips(counter: &ActorRef<Work>, count: u64) -> Measured {
    let mut times = Vec::with_capacity(count as usize);
    let began = Instant::now();
    for n in 0..count {
        let sent = Instant::now();
        let answer = counter.call(|reply| Work::Ping(n, reply), None).await;
        assert_eq!(answer.expect("it lives").expect("it answers"), n);
        times.push(sent.elapsed().as_nanos() as u32);
    }
    Measured::since(began, count).with_times(times)
}

/// Its queues have no bound, so the credit is the answer to `Until`.
async fn payloads(counter: &ActorRef<Work>, count: u64) -> Measured {
    let mut credit = VecDeque::new();
    let began = Instant::now();
    for sent in 1..=count {
        counter.cast(Work::Payload(vec![7; PAYLOAD])).expect("it lives");
        if sent % ACK_EVERY == 0 {
            let counter = counter.clone();
            credit.push_back(tokio::spawn(async move { until(&counter, sent).await }));
            // The question is to be sent before what follows.
            tokio::task::yield_now().await;
            if credit.len() as u64 >= WINDOW / ACK_EVERY
                && let Some(oldest) = credit.pop_front()
            {
                oldest.await.expect("it is answered");
            }
        }
    }
    assert_eq!(until(counter, count).await, count);
    Measured::since(began, count).megabytes(count * PAYLOAD as u64)
}

fn main() {
    let task = Task::from_arguments();
    let Some(count) = task.count else { return task.on_runtime(far_end()) };
    let peer = Peer::start(&task);
    let far: u16 = peer.line.parse().expect("the far end says its port");
    let workload = task.workload.clone();
    let measured = task.on_runtime(async move { measure(&workload, count, far).await });
    drop(peer);
    task.report(measured)
}
