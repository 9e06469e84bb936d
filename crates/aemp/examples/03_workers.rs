//! 3. A pool of workers, found through the database.
//!
//! In one terminal: `cargo run --example 03_workers listen 127.0.0.1:4040`
//! In as many others as you like: `cargo run --example 03_workers connect 127.0.0.1:4040`
//!
//! The workers register themselves in a family of the shared database. Anyone who has work looks
//! there; an entry goes when its port, its process or its machine does. End a worker with ctrl-c in
//! the middle: its job is given to another one.

mod terminal;

use std::error::Error;
use std::time::Duration;

use aemp::{AnyMessage, CallError, Message, Node, ReplyTo};
use serde::{Deserialize, Serialize};
use terminal::{Side, Terminal};
use tokio::task::JoinSet;

/// The name of the family.
const WORKERS: &str = "example::workers";

#[derive(Serialize, Deserialize, Message)]
enum Job {
    /// How many primes are below this?
    Primes { below: u32, reply: ReplyTo<u32> },
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let terminal = Terminal::new();
    let node = terminal.node().start().await?;
    match terminal.side {
        Side::Listen => share_out(&node).await,
        Side::Connect => work(&node).await,
    }
}

async fn work(node: &Node) -> Result<(), Box<dyn Error>> {
    let worker = node.port(|cx, Job::Primes { below, reply }| {
        println!("primes below {below}");
        cx.reply(reply, primes(below));
    });
    // Nobody needs a worker without its boss.
    let boss = node.db().any("example::boss").await?;
    let death = node.exited(&boss);
    node.db().register(WORKERS, &worker)?;
    let reason = death.await;
    println!("the boss is gone: {reason}");
    node.shutdown().await;
    Ok(())
}

async fn share_out(node: &Node) -> Result<(), Box<dyn Error>> {
    let boss = node.port(|_, _: AnyMessage| {});
    node.db().register("example::boss", &boss)?;
    terminal::announce(node);
    let mut jobs = JoinSet::new();
    for below in (1000..=8000).step_by(1000) {
        jobs.spawn(get_done(node.clone(), below));
    }
    let mut results: Vec<(u32, u32)> = Vec::new();
    while let Some(result) = jobs.join_next().await {
        results.push(result??);
    }
    results.sort_unstable();
    for (below, count) in results {
        println!("{count} primes below {below}");
    }
    node.shutdown().await;
    Ok(())
}

/// Has one job done by any worker; by another one if that dies.
async fn get_done(node: Node, below: u32) -> Result<(u32, u32), String> {
    loop {
        // Waits until there is a worker, and takes another one each time.
        let worker = node.db().any_of::<Job>(WORKERS).await.map_err(|error| error.to_string())?;
        // The port is monitored before it is asked: its death ends the call at once, not after the
        // limit.
        let call = node.call(&worker, Duration::from_secs(60), |reply| Job::Primes { below, reply });
        match call.await {
            Ok(count) => return Ok((below, count)),
            Err(CallError::Died(reason)) => println!("{worker} died ({reason}); another one gets its job"),
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn primes(below: u32) -> u32 {
    let is_prime = |n: &u32| (2..*n).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    (2..below).filter(is_prime).map(|_| 1).sum()
}
