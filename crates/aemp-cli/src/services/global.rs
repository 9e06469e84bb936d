//! `aemp::global`: this node holds a copy of the shared database and serves it to others.

use aemp::{Context, Message, Reason};

pub(super) const NAME: &str = "aemp::global";

/// Asks the own node what any node may ask of it: to become global.
pub(super) fn init(cx: &mut Context<'_>, _arguments: Message) -> Result<(), Reason> {
    let node = cx.node().id().port();
    cx.send(&node, ("g_slave",));
    cx.receive(|_, _: Message| {});
    Ok(())
}
