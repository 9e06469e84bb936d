//! `aemp::global`: this node holds a copy of the shared database and serves it to others.

use aemp::{AnyMessage, Context, Reason};

pub(super) const NAME: &str = "aemp::global";

/// Asks the own node what any node may ask of it: to become global.
pub(super) fn init(cx: &mut Context<'_>, _arguments: AnyMessage) -> Result<(), Reason> {
    let node = cx.node().id().control_port();
    cx.send(&node, ("g_slave",));
    cx.receive(|_, _: AnyMessage| {});
    Ok(())
}
