//! A Rust node in a process of its own, for tests that kill it.
//!
//! Arguments: node ID, address to listen on, secret, then any seeds. Says `ready PORT ADDRESS`
//! once; the port sends every message VALUE…, PORT back to that port.

use std::error::Error;

use aemp::{AnyMessage, Context, Node, PortId};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |name: &str| arguments.next().ok_or_else(|| format!("{name} is missing"));
    let builder = Node::builder().id(argument("ID")?).bind(argument("ADDRESS")?).secret(argument("SECRET")?);
    let node = arguments.fold(builder, aemp::Builder::seed).start().await?;
    let echo = node.port(|cx: &mut Context<'_>, AnyMessage(mut values): AnyMessage| {
        let to = values.pop().and_then(|to| to.to_name()?.parse::<PortId>().ok());
        match to {
            Some(to) => cx.send(&to, AnyMessage(values)),
            None => cx.fail("no port to answer to"),
        }
    });
    let addresses: Vec<String> = node.local_addrs().iter().map(ToString::to_string).collect();
    println!("ready {echo} {}", addresses.join(","));
    std::future::pending::<()>().await;
    Ok(())
}
