//! What a node that runs can be told to do: to read its settings again, or to leave its network. By
//! a signal, or from elsewhere by a function that other nodes call.

use std::time::Duration;

use aemp::{AnyMessage, Builder, CallError, Context, Node, NodeId, Reason, ReplyTo, Value};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::failure::Failure;
use crate::values::escaped;

/// The function that has a node read its settings again.
pub(crate) const RELOAD: &str = "aemp::reload";

/// The function that has a node leave its network.
pub(crate) const DRAIN: &str = "aemp::drain";

/// Something to be done, and where the outcome goes.
#[derive(Debug)]
pub(crate) enum Order {
    Reload(ReplyTo<Outcome<Reloaded>>),
    Drain(Duration, ReplyTo<Outcome<String>>),
}

/// What came of it: that, or what went wrong.
pub(crate) type Outcome<T> = Result<T, String>;

/// What a node has made of its settings when it has read them again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reloaded {
    /// The settings that have changed and are in force.
    pub(crate) changed: Vec<String>,
    /// Those that it follows only when it is started again, and why.
    pub(crate) refused: Vec<(String, String)>,
}

/// The orders that come from other nodes.
pub(crate) struct Orders(UnboundedReceiver<Order>);

impl Orders {
    /// Makes the node one that takes orders.
    pub(crate) fn register(builder: Builder) -> (Builder, Orders) {
        let (orders, received) = unbounded_channel();
        let drains: UnboundedSender<Order> = orders.clone();
        let builder = builder
            .function(RELOAD, move |cx: &mut Context<'_>, (reply,): (ReplyTo<Outcome<Reloaded>>,)| {
                // An error says that the node is ending.
                let _ = orders.send(Order::Reload(reply));
                cx.end(Reason::NORMAL);
                Ok::<(), Reason>(())
            })
            .function(
                DRAIN,
                move |cx: &mut Context<'_>, (seconds, reply): (f64, ReplyTo<Outcome<String>>)| {
                    let limit = Duration::try_from_secs_f64(seconds).map_err(Reason::died)?;
                    let _ = drains.send(Order::Drain(limit, reply));
                    cx.end(Reason::NORMAL);
                    Ok::<(), Reason>(())
                },
            );
        (builder, Orders(received))
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Option<Order> {
        self.0.recv().await
    }
}

/// Finds out whether a node takes this order.
pub(crate) async fn check_taken(
    node: &Node,
    target: &NodeId,
    order: &str,
    limit: Duration,
) -> Result<(), Failure> {
    let can = |reply: ReplyTo<AnyMessage>| ("can", order, reply.port().clone());
    let answer: Result<AnyMessage, CallError> = node.call(&target.control_port(), limit, can).await;
    let AnyMessage(known) = answer.map_err(|error| Failure::of_call(target, error))?;
    if known.last().and_then(Value::to_name).as_deref() == Some("1") {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "{target} does not take this order ({order}): it is in secure mode, or an older one, or not run by `aemp run`"
    )))
}

/// What came of an order, or the failure that another node tells of.
pub(crate) fn outcome<T>(target: &NodeId, outcome: Outcome<T>) -> Result<T, Failure> {
    outcome.map_err(|error| Failure::failed(format!("{target}: {}", escaped(&error))))
}
