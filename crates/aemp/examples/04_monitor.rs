//! 4. Monitors: learning that a port is gone, and why.
//!
//! In one terminal: `cargo run --example 04_monitor listen 127.0.0.1:4040`
//! In another one: `cargo run --example 04_monitor connect 127.0.0.1:4040`
//! Then end the first one with ctrl-c, or with kill -9.
//!
//! From the moment a monitor is set, either every message to the port arrives, in order, or the
//! monitor fires. It fires once.

mod terminal;

use std::error::Error;
use std::time::Duration;

use aemp::{Addr, AnyMessage, Message, Node, Reason, ReplyTo};
use serde::{Deserialize, Serialize};
use terminal::{Side, Terminal};

#[derive(Serialize, Deserialize, Message)]
enum Nursery {
    /// Opens a new port, which dies when it is told anything.
    Mortal { reply: ReplyTo<Addr<(String,)>> },
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let terminal = Terminal::new();
    let node = terminal.node().start().await?;
    match terminal.side {
        Side::Listen => nurse(&node).await,
        Side::Connect => watch(&node).await,
    }
}

async fn nurse(node: &Node) -> Result<(), Box<dyn Error>> {
    let nursery = node.port(|cx, Nursery::Mortal { reply }| {
        let mortal = cx.node().port(|cx, (how,): (String,)| match how.as_str() {
            "done" => cx.end(Reason::NORMAL),
            "panic" => panic!("as you like"),
            other => cx.end(Reason::text("told", other)),
        });
        cx.reply(reply, mortal);
    });
    node.db().register("nursery", &nursery)?;
    terminal::stay(node).await
}

async fn watch(node: &Node) -> Result<(), Box<dyn Error>> {
    let nursery = node.db().any_of::<Nursery>("nursery").await?;
    let mortal = || node.call(&nursery, Duration::from_secs(10), |reply| Nursery::Mortal { reply });

    // As a future: the reason, when it is over. A normal death has an empty one.
    for how in ["done", "to go", "panic"] {
        let port = mortal().await?;
        let death = node.exited(&port);
        node.send(&port, (how,))?;
        println!("{how}: {}", death.await);
    }

    // A port that was dead before fires too.
    let port = mortal().await?;
    node.kill(&port, Reason::NORMAL);
    node.exited(&port).await;
    println!("again: {}", node.exited(&port).await.identifier().unwrap_or_default());

    // As a callback. It would be withdrawn with its guard; `detach` lets it stand.
    let port = mortal().await?;
    node.monitor(&port, |reason| println!("a callback: {reason}")).detach();
    // As a link: the second port dies with the first one, but not of a normal death.
    let partner = node.port(|_, _: AnyMessage| {});
    node.monitor_kill(&port, &partner).detach();
    let death = node.exited(&partner);
    node.send(&port, ("together",))?;
    println!("the partner: {}", death.await);

    // A loss of the other node is an end as well, as far as anybody here can know.
    let death = node.exited(&nursery);
    println!("watching; now end the other process");
    println!("the nursery: {}", death.await.identifier().unwrap_or_default());
    node.shutdown().await;
    Ok(())
}
