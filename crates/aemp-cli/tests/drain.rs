//! Workers that are started again one after the other, under load: no call fails.

#![cfg(all(unix, feature = "scripts"))]
#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aemp::{Node, PortId, ReplyTo};
use support::reserved::Reserved;
use support::{Running, User};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The family through which callers find the workers.
const FAMILY: &str = "workers";

/// What a worker does: it takes some time for each answer, so that calls are always under way.
const WORKER: &str = r#"
fn start() {
    rcv(SELF, "work", |n, caller| { after(0.02, || snd(caller, n)); });
    db_reg("workers");
}
"#;

/// How many callers there are, and how often each calls if its calls take no longer: together a
/// thousand times a second.
const CALLERS: u64 = 40;
const PACE: Duration = Duration::from_millis(40);

/// Nothing takes so long, unless it hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// What has become of the calls.
#[derive(Default)]
struct Calls {
    /// How many each port has answered.
    answered: BTreeMap<PortId, u64>,
    failed: Vec<String>,
}

/// A worker: a process at an address of its own, which it keeps.
struct Worker {
    id: String,
    reserved: Reserved,
    seed: String,
}

impl Worker {
    fn start(&self, user: &User) -> Running {
        let bind = self.reserved.address();
        let mut process = user.start(&[
            "run",
            "--drain",
            "30",
            "norc",
            "1",
            "nodeid",
            &self.id,
            "secret",
            "s",
            "binds",
            &bind,
            "seeds",
            &self.seed,
            "scripts",
            ".",
            "services",
            "worker::start",
        ]);
        process.ready();
        process
    }
}

/// Calls workers all the time, each time one of those that the family has, and never again when a
/// call has failed.
fn load(node: &Node, calls: &Arc<Mutex<Calls>>) -> (JoinSet<()>, watch::Receiver<Vec<PortId>>) {
    let (sender, workers) = watch::channel(Vec::<PortId>::new());
    let mut tasks = JoinSet::new();
    let mut changes = node.db().watch(FAMILY);
    tasks.spawn(async move {
        while let Some(change) = changes.next().await {
            sender.send_replace(change.content.keys().filter_map(|key| key.parse().ok()).collect());
        }
    });
    for n in 0..CALLERS {
        let (node, workers, calls) = (node.clone(), workers.clone(), calls.clone());
        tasks.spawn(async move {
            let mut pace = tokio::time::interval(PACE);
            for n in n.. {
                pace.tick().await;
                let port = match workers.borrow().as_slice() {
                    [] => continue, // before the first one is there
                    some => some[n as usize % some.len()].clone(),
                };
                let question = |reply: ReplyTo<u64>| ("work", n, reply);
                let answer = node.call(&port, LIMIT, question).await;
                let mut calls = calls.lock().unwrap();
                match answer {
                    Ok(answer) if answer == n => *calls.answered.entry(port).or_default() += 1,
                    Ok(other) => calls.failed.push(format!("{port}: {other} instead of {n}")),
                    Err(error) => calls.failed.push(format!("{port}: {error}")),
                }
            }
        });
    }
    (tasks, workers)
}

/// Waits until a port of this node that is not `old` has answered.
async fn serves(
    id: &str,
    old: Option<&PortId>,
    workers: &mut watch::Receiver<Vec<PortId>>,
    calls: &Mutex<Calls>,
) -> PortId {
    let of_node = |port: &PortId| port.node().as_str() == id && Some(port) != old;
    let found = workers.wait_for(|ports| ports.iter().any(of_node));
    let ports = tokio::time::timeout(LIMIT, found).await.unwrap().unwrap().clone();
    let port = ports.into_iter().find(of_node).unwrap();
    tokio::time::timeout(LIMIT, async {
        while !calls.lock().unwrap().answered.contains_key(&port) {
            // sleep: what the callers note is looked at as often as they call
            tokio::time::sleep(PACE).await;
        }
    })
    .await
    .unwrap();
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_costs_no_call() {
    let user = User::new();
    std::fs::write(user.home().join("worker.rhai"), WORKER).unwrap();
    let caller = Node::builder().id("caller").secret("s").bind("127.0.0.1:0").start().await.unwrap();
    let seed = caller.local_addrs()[0].to_string();
    user.ok(&["setsecret", "s", "setseeds", &seed]);
    let calls = Arc::new(Mutex::new(Calls::default()));
    let (tasks, mut workers) = load(&caller, &calls);
    let worker = |id: &str| Worker { id: id.into(), reserved: Reserved::new(), seed: seed.clone() };
    let places = ["w1", "w2", "w3"].map(worker);
    let mut running = Vec::new();
    for place in &places {
        let process = place.start(&user);
        running.push((process, serves(&place.id, None, &mut workers, &calls).await));
    }
    let mut again = Vec::new();
    for (n, (place, (mut process, port))) in places.iter().zip(running).enumerate() {
        // As a service manager does it, and as a person does.
        match n {
            0 => assert_eq!(user.ok(&["drain", &place.id]), format!("{} has left\n", place.id)),
            _ => process.signal("TERM"),
        }
        let status = tokio::task::spawn_blocking(move || process.wait()).await.unwrap();
        assert_eq!(status, Some(0));
        again.push(place.start(&user));
        serves(&place.id, Some(&port), &mut workers, &calls).await;
    }
    drop(tasks);
    let Calls { answered, failed } = std::mem::take(&mut *calls.lock().unwrap());
    assert_eq!(failed, [""; 0]);
    assert_eq!(answered.len(), 6, "each worker has served before and after: {answered:?}");
    caller.shutdown().await;
}
