//! 5. Spawning a port on another node, and a virtual connection between two ports.
//!
//! In one terminal: `cargo run --example 05_spawn listen 127.0.0.1:4040`
//! In another one: `cargo run --example 05_spawn connect 127.0.0.1:4040`
//!
//! The server registers a function; others name it, nothing else of it can be run. Each client
//! spawns a port of its own there, and the two ports monitor each other: a connection without a
//! socket, with state at both ends, that ends when either does.

mod terminal;

use std::error::Error;
use std::time::Duration;

use aemp::{Addr, Context, Message, NodeId, Reason};
use serde::{Deserialize, Serialize};
use terminal::{Side, Terminal};

/// What the client's end takes.
#[derive(Serialize, Deserialize, Message)]
enum Client {
    Welcome { text: String },
    Sum { of: u32, is: i64 },
}

/// What the server's end takes.
#[derive(Serialize, Deserialize, Message)]
enum Session {
    Add { n: i64 },
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let terminal = Terminal::new();
    match terminal.side {
        Side::Listen => serve(&terminal).await,
        Side::Connect => use_it(&terminal).await,
    }
}

async fn serve(terminal: &Terminal) -> Result<(), Box<dyn Error>> {
    let node = terminal.node().id("adder").function("adder::session", session).start().await?;
    terminal::stay(&node).await
}

/// Runs in the new port, and makes a receiver of it.
fn session(cx: &mut Context<'_>, (client, name): (Addr<Client>, String)) -> Result<(), Reason> {
    println!("{name} is here");
    cx.send(&client, Client::Welcome { text: format!("hello, {name}") });
    let closed = move |cx: &mut Context<'_>, reason: Reason| {
        println!("{name} left: {reason}");
        cx.end(Reason::NORMAL);
    };
    cx.monitor(&client, closed).detach();
    let (mut of, mut is) = (0, 0);
    cx.receive(move |cx, Session::Add { n }| {
        (of, is) = (of + 1, is + n);
        cx.send(&client, Client::Sum { of, is });
    });
    Ok(())
}

async fn use_it(terminal: &Terminal) -> Result<(), Box<dyn Error>> {
    let node = terminal.node().start().await?;
    let client = node.port_async(async move |mut port| {
        port.recv_tag::<()>("begin").await;
        // The ID is there at once: what is sent and monitored right away arrives in order behind
        // the spawn.
        let session = port.node().spawn(&NodeId::new("adder")?, "adder::session", (port.id(), "a client"))?;
        let session = session.assume::<Session>(); // we know what our function makes
        port.node().monitor_kill(&session, port.id()).detach();
        for n in [20, 22] {
            port.send(&session, Session::Add { n })?;
        }
        loop {
            match port.recv().await {
                Client::Welcome { text } => println!("{text}"),
                Client::Sum { of, is } => {
                    println!("the sum of {of} numbers is {is}");
                    if of == 2 {
                        return Ok(()); // the end of this port ends the session
                    }
                }
            }
        }
    });
    // Before it can end: of a port that is gone nobody knows how.
    let end = node.exited(&client);
    node.send(&client, ("begin",))?;
    let reason = end.await;
    println!("the connection ended: {reason}");

    // A function that is not registered: the only news is the reason of the death.
    let nothing = node.spawn(&NodeId::new("adder")?, "adder::nothing", ())?;
    let refused = tokio::time::timeout(Duration::from_secs(10), node.exited(&nothing)).await?;
    println!("no such function: {}", refused.identifier().unwrap_or_default());
    node.shutdown().await;
    Ok(())
}
