//! 1. Two nodes, and a message there and back.
//!
//! In one terminal: `cargo run --example 01_ping listen 127.0.0.1:4040`
//! In another one: `cargo run --example 01_ping connect 127.0.0.1:4040`
//!
//! A port is what messages are sent to, and its ID is all that one needs for it, wherever it lives.
//! It can travel in a message: so the other side knows where the answer goes. An `Addr<Game>` is an
//! ID that knows what may be sent: anything else does not compile.

mod terminal;

use std::error::Error;

use aemp::{Addr, Message, Node};
use serde::{Deserialize, Serialize};
use terminal::{Side, Terminal};
use tokio::sync::mpsc;

/// One variant is one message; its name is the tag.
#[derive(Serialize, Deserialize, Message)]
enum Game {
    Ping { n: u32, from: Addr<Game> }, // on the wire: ["ping", n, port ID]
    Pong { n: u32 },                   // ["pong", n]
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let terminal = Terminal::new();
    let node = terminal.node().start().await?;
    match terminal.side {
        Side::Listen => answer(&node).await,
        Side::Connect => play(&node).await,
    }
}

async fn answer(node: &Node) -> Result<(), Box<dyn Error>> {
    let port = node.port(|cx, message: Game| {
        if let Game::Ping { n, from } = message {
            println!("ping {n}");
            cx.send(&from, Game::Pong { n });
        }
    });
    // An entry in the database that all nodes share; example 3 has more about it.
    node.db().register("ping", &port)?;
    terminal::stay(node).await
}

async fn play(node: &Node) -> Result<(), Box<dyn Error>> {
    let partner = node.db().any_of::<Game>("ping").await?;
    let (pongs, mut came) = mpsc::unbounded_channel();
    let me = node.port(move |cx, message: Game| {
        if let Game::Pong { n } = message
            && pongs.send(n).is_err()
        {
            cx.fail("nobody counts the pongs");
        }
    });
    // Sending never waits. From one sender to one port everything arrives in order.
    for n in 1..=3 {
        node.send(&partner, Game::Ping { n, from: me.clone() })?;
    }
    for _ in 1..=3 {
        let n = came.recv().await.ok_or("the port died")?;
        println!("pong {n}");
    }
    // How to ask and wait for the answer in one go: example 3. How to learn that none will come:
    // example 4.
    node.shutdown().await;
    Ok(())
}
