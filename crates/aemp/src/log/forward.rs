//! The side that is caught: answers `AnyEvent::MP::LogCatcher::connect VERSION PORTID LEVEL` by
//! sending its records to that port.

use aemp_proto::{AnyMessage, PortId, Reason, Value};

use super::clock::now;
use super::layer::unheard;
use super::source::{Batch, Feeding, Line};
use super::{CONNECT, Level};
use crate::functions::{Functions, function};
use crate::node::Node;
use crate::port::Context;
use crate::send_error::SendError;

/// More than this is not queued for a node on behalf of its catcher, in bytes: the log must not
/// crowd out messages.
const BACKLOG_MAX: usize = 256 << 10;

/// This many records are sent before the backlog is looked at again.
const BURST: usize = 64;

/// Makes every node answer catchers, unless it is in secure mode.
pub(crate) fn register(functions: &mut Functions) {
    functions.add(CONNECT, function(connect));
}

/// Somebody wants the records of this node. The port that this runs in lives as long as they are
/// wanted.
fn connect(cx: &mut Context<'_>, AnyMessage(arguments): AnyMessage) -> Result<(), Reason> {
    let port = arguments.get(1).and_then(Value::to_name).and_then(|port| PortId::parse(&port).ok());
    let port = port.ok_or_else(|| Reason::text("bad_message", "the second argument must be a port ID"))?;
    cx.receive(|_, _: AnyMessage| {});
    let level = arguments.get(2).and_then(Level::from_value);
    // No level, or 0, is no log.
    let Some((level, source)) = level.zip(cx.node().log_source()) else {
        tracing::debug!(%port, "asked for log records, and there are none: no level, or the program has no log source");
        cx.end(Reason::NORMAL);
        return Ok(());
    };
    let Some(feed) = source.feed(&port, level) else {
        return Err(Reason::text("limit", "too many log catchers"));
    };
    cx.monitor(&port, |cx, _| cx.end(Reason::NORMAL)).detach();
    let node = cx.node().clone();
    cx.task(forward(node, port, feed), |cx, ()| cx.end(Reason::NORMAL));
    Ok(())
}

/// Sends what is logged, until another request of the same port takes over.
async fn forward(node: Node, to: PortId, mut feed: Feeding) {
    tracing::debug!(%to, "forwarding log records");
    while let Some(Batch { lines, dropped }) = feed.next().await {
        for (index, line) in lines.iter().enumerate() {
            if index % BURST == 0 {
                node.ready_below(&to, BACKLOG_MAX).await;
            }
            send(&node, &to, line);
        }
        if dropped > 0 {
            let text =
                format!("{dropped} log records are lost here: they came faster than they could be sent");
            let context = module_path!().into();
            send(&node, &to, &Line { time: now(), context, level: Level::Warn, text });
        }
    }
}

fn send(node: &Node, to: &PortId, line: &Line) {
    let level = line.level.number();
    // Nothing must be done about a record that fits into no frame, and saying so would be another
    // record.
    let _: Result<(), SendError> =
        unheard(|| node.send(to, (line.time, Value::name(&line.context), level, Value::name(&line.text))));
}
