//! 7. An async port, which picks the messages that it wants now and leaves the others where they
//!    are.
//!
//! `cargo run --example 07_selective`; one node is enough.
//!
//! A callback port takes its messages as they come. An async port is code that runs from its
//! beginning to its end, and asks for the message that it needs next. That is the shorter way to
//! write a protocol of several steps.

use std::error::Error;
use std::time::Duration;

use aemp::{Addr, Inbox, Message, Node, PortId, Reason, pick};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize, Message)]
enum Kitchen {
    Order { dish: String, guest: Addr<(String, String)> },
    Fire,
    Delivery { crates: u32 },
    Closing,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let node = Node::builder().start().await?;

    let cook = node.port_async_of(async |mut port: Inbox<Kitchen>| {
        // Nothing can be cooked before the delivery. Orders that come earlier stay queued, in
        // order.
        let crates = port.recv_match(pick!(Kitchen::Delivery { crates } => crates)).await;
        println!("got {crates} crates");
        loop {
            // What is urgent goes first, even if it came last: is there any now?
            let fire = port.recv_match_timeout(Duration::ZERO, pick!(Kitchen::Fire => ())).await;
            if fire.is_some() {
                println!("put the fire out");
            }
            // A closure can pick one of several kinds: `Ok` takes a message, `Err` gives it back.
            let next = port
                .recv_match(|message| match message {
                    Kitchen::Order { dish, guest } if dish != "soup" => Ok(Some((dish, guest))),
                    Kitchen::Closing => Ok(None),
                    other => Err(other),
                })
                .await;
            let Some((dish, guest)) = next else { break };
            port.send(&guest, ("served", dish))?;
        }
        // What was never picked is still there. Tags can be picked without a type.
        while let Some((dish, _)) = port.recv_tag_timeout::<(String, PortId)>(Duration::ZERO, "order").await {
            println!("nobody cooked the {dish}");
        }
        Err(Reason::text("closed", "until tomorrow"))
    });

    let guest = node.port(|_, (_, dish): (String, String)| println!("served: {dish}"));
    let (cook_ends, guest_ends) = (node.exited(&cook), node.exited(&guest));
    for dish in ["soup", "stew", "cake"] {
        node.send(&cook, Kitchen::Order { dish: dish.into(), guest: guest.clone() })?;
    }
    node.send(&cook, Kitchen::Closing)?;
    node.send(&cook, Kitchen::Fire)?;
    node.send(&cook, Kitchen::Delivery { crates: 3 })?;

    println!("the cook: {}", cook_ends.await);
    node.kill(&guest, Reason::NORMAL);
    guest_ends.await;
    Ok(())
}
