//! `AnyEvent::MP::LogCatcher::catch LEVEL`: writes what all other nodes log into the log of this
//! process, as the function of this name does in Perl. Run again it takes the new level; without
//! one, or with 0, it stops.

use std::sync::{Arc, Mutex, PoisonError};

use aemp::log::{Level, LogCatcher};
use aemp::{AnyMessage, Context, PortId, Reason, Value};

pub(super) const NAME: &str = "AnyEvent::MP::LogCatcher::catch";

/// The function, which remembers the port that catches.
pub(super) fn init() -> impl Fn(&mut Context<'_>, AnyMessage) -> Result<(), Reason> {
    let catching: Arc<Mutex<Option<PortId>>> = Arc::default();
    move |cx, AnyMessage(arguments)| {
        let level = level(arguments.first())?;
        let mut catching = catching.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(port) = catching.take() {
            cx.kill(&port, Reason::NORMAL);
        }
        let Some(level) = level else {
            cx.end(Reason::NORMAL);
            return Ok(());
        };
        *catching = Some(cx.me());
        cx.receive_async(move |port| async move {
            let mut caught = port.node().catch_logs(level);
            let mut lost = 0;
            while let Some(record) = caught.next().await {
                record.log();
                say_lost(&caught, &mut lost);
            }
            Ok(())
        });
        Ok(())
    }
}

/// Says how many records were lost, beyond those that were `said` to be.
pub(crate) fn say_lost(caught: &LogCatcher, said: &mut u64) {
    let lost = caught.lost();
    if lost > *said {
        tracing::warn!(records = lost - *said, "lost: they came faster than they could be taken");
        *said = lost;
    }
}

fn level(argument: Option<&Value>) -> Result<Option<Level>, Reason> {
    let text = match argument {
        None | Some(Value::Null | Value::Int(0)) => return Ok(None),
        Some(Value::Int(number)) => number.to_string(),
        Some(other) => other.to_name().unwrap_or_default(),
    };
    match text.as_str() {
        "0" | "off" | "none" => Ok(None),
        text => text.parse().map(Some).map_err(|error| Reason::text("bad_message", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_numbers_or_names() {
        for (argument, expected) in [
            (Value::Int(8), Some(Level::Debug)),
            (Value::name("8"), Some(Level::Debug)),
            (Value::name("warn"), Some(Level::Warn)),
            (Value::Int(0), None),
            (Value::name("off"), None),
            (Value::Null, None),
        ] {
            assert_eq!(level(Some(&argument)).unwrap(), expected, "{argument:?}");
        }
        assert_eq!(level(None).unwrap(), None);
        for wrong in [Value::Int(10), Value::Int(-1), Value::name("loud"), Value::List(Vec::new())] {
            assert!(level(Some(&wrong)).is_err(), "{wrong:?}");
        }
    }
}
