//! `aemp::echo`: a port in the family `aemp::echo` that sends every message back to the port ID in
//! its last element, without that element.

use aemp::{AnyMessage, Context, PortId, Reason};

pub(super) const NAME: &str = "aemp::echo";

pub(super) fn init(cx: &mut Context<'_>, _arguments: AnyMessage) -> Result<(), Reason> {
    cx.node().db().register(NAME, &cx.me())?;
    cx.receive(|cx, mut message: AnyMessage| {
        let last = message.0.pop().and_then(|last| last.to_name());
        match last.as_deref().map(PortId::parse) {
            Some(Ok(port)) => cx.send(&port, message),
            // Anybody can send anything here, so that is no reason to die.
            _ => tracing::debug!("a message to echo without a port ID at its end"),
        }
    });
    Ok(())
}
