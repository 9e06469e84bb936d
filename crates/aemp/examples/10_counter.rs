//! 10. A counter that others use: the program that `docs/users-of.md` shows beside the same one in
//!     other systems.
//!
//! In one terminal: `cargo run --example 10_counter listen 127.0.0.1:4040`
//! In another one: `cargo run --example 10_counter connect 127.0.0.1:4040`

mod terminal;

use std::error::Error;
use std::time::Duration;

use aemp::{Message, Node, ReplyTo};
use serde::{Deserialize, Serialize};
use terminal::{Side, Terminal};

#[derive(Serialize, Deserialize, Message)]
enum Count {
    Add(i64),                      // on the wire: ["add", n]
    Total { reply: ReplyTo<i64> }, // ["total", port ID]
}

fn offer(node: &Node) -> Result<(), Box<dyn Error>> {
    let mut total = 0;
    let counter = node.port(move |cx, message: Count| match message {
        Count::Add(n) => total += n,
        Count::Total { reply } => cx.reply(reply, total),
    });
    node.db().register("counters", &counter)?;
    Ok(())
}

async fn count(node: &Node) -> Result<(), Box<dyn Error>> {
    let counter = node.db().any_of::<Count>("counters").await?;
    let _guard = node.monitor(&counter, |reason| eprintln!("the counter is gone: {reason}"));
    node.send(&counter, Count::Add(20))?;
    node.send(&counter, Count::Add(22))?;
    let total = node.call(&counter, Duration::from_secs(1), |reply| Count::Total { reply }).await?;
    println!("{total}");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let terminal = Terminal::new();
    let node = terminal.node().start().await?;
    match terminal.side {
        Side::Listen => {
            offer(&node)?;
            terminal::stay(&node).await
        }
        Side::Connect => {
            count(&node).await?;
            node.shutdown().await;
            Ok(())
        }
    }
}
