//! `aemp::sink`: a port in the family `aemp::sink` that counts messages and their bytes, and
//! answers `["stats", PORT]` with the two numbers.

use aemp::{AnyMessage, Body, Context, PortId, Reason};

pub(super) const NAME: &str = "aemp::sink";

/// What has arrived.
#[derive(Default)]
struct Count {
    messages: u64,
    /// Bytes of the encoded values, without frame and port name.
    bytes: u64,
}

pub(super) fn init(cx: &mut Context<'_>, _arguments: AnyMessage) -> Result<(), Reason> {
    cx.node().db().register(NAME, &cx.me())?;
    cx.set_state(Count::default());
    cx.receive(|cx, body: Body| {
        if let Some(port) = asks_for_stats(&body) {
            let Count { messages, bytes } = *cx.state();
            return cx.send(&port, (messages, bytes));
        }
        let count: &mut Count = cx.state();
        count.messages += 1;
        count.bytes += body.items().len() as u64;
    });
    Ok(())
}

fn asks_for_stats(body: &Body) -> Option<PortId> {
    if body.count() != 2 || body.first_name().as_deref() != Some("stats") {
        return None;
    }
    PortId::parse(&body.decode().ok()?.get(1)?.to_name()?).ok()
}
