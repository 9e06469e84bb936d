//! 2. A port with a handler for each tag, and handlers that change.
//!
//! `cargo run --example 02_tags`; one node is enough.
//!
//! On the wire a message is a list of values, and the first is the tag. A port can look at tags
//! alone, without a type for all of its messages. Its handlers share a state without a lock,
//! because a port does one thing at a time.

use std::error::Error;

use aemp::{AnyMessage, Node, Reason};

/// What the port of this example remembers.
struct Stack(Vec<i64>);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let node = Node::builder().start().await?;

    let calculator = node
        .handlers()
        .state(Stack(Vec::new()))
        .on("push", |cx, (n,): (i64,)| cx.state::<Stack>().0.push(n))
        .on("add", |cx, ()| {
            let stack = &mut cx.state::<Stack>().0;
            let sum = stack.drain(..).sum();
            stack.push(sum);
        })
        .on("print", |cx, ()| println!("{:?}", cx.state::<Stack>().0))
        .on("learn", |cx, ()| {
            // From the next message on there is one more handler.
            cx.on("double", |cx, ()| cx.state::<Stack>().0.iter_mut().for_each(|n| *n *= 2));
        })
        .on("quit", |cx, ()| cx.end(Reason::NORMAL))
        .fallback(|_, message: AnyMessage| println!("no handler for {:?}", message.tag().unwrap_or_default()))
        .build();

    let death = node.exited(&calculator);
    node.send(&calculator, ("push", 20))?;
    node.send(&calculator, ("push", "22"))?; // Perl's numbers may come as text
    node.send(&calculator, ("print",))?;
    node.send(&calculator, ("add",))?;
    node.send(&calculator, ("double",))?;
    node.send(&calculator, ("learn",))?;
    node.send(&calculator, ("double",))?;
    node.send(&calculator, ("print",))?;
    node.send(&calculator, ("quit",))?;

    println!("the port ended: {}", death.await);
    Ok(())
}
