//! `SELF`, `NODE`, `log` and what else a script wants to know.

use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use aemp::Value;
use rhai::{Dynamic, Engine};
use tracing::Level;

use super::{Arguments, port_value, text, verb};
use crate::run::{self, Fault, Run};
use crate::values::bytes_text;

pub(super) fn register(engine: &mut Engine) {
    // Words, not variables: a function that is called later sees the port in which it runs.
    for (word, value) in [
        ("SELF", (|run| port_value(&run.me)) as fn(&mut Run) -> Dynamic),
        ("NODE", |run| bytes_text(run.node.id().as_str())),
    ] {
        engine
            .register_custom_syntax([word], false, move |_, _| run::with(|run| Ok(value(run))))
            .expect("a word alone is a possible syntax");
    }
    verb(engine, "log", 1..=2, log);
    verb(engine, "time", 0..=0, |_, _| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(now.as_secs_f64().into())
    });
    verb(engine, "node_of", 1..=1, |_, arguments| {
        Ok(bytes_text(Arguments::new(arguments).port()?.node().as_str()))
    });
    verb(engine, "up_nodes", 0..=0, |run, _| {
        let nodes = run.node.connected_nodes();
        Ok(Dynamic::from_array(nodes.iter().map(|node| bytes_text(node.as_str())).collect()))
    });
    verb(engine, "text", 1..=1, |_, arguments| decoded(Arguments::new(arguments).take()));
    // The second one is the name that scripts of old use.
    for name in ["bytes", concat!("oct", "ets")] {
        verb(engine, name, 1..=1, |_, arguments| encoded(Arguments::new(arguments).take()));
    }
}

/// `log(TEXT)`, `log(LEVEL, TEXT)`
fn log(run: &mut Run, arguments: Vec<Dynamic>) -> Result<Dynamic, Fault> {
    let mut arguments = Arguments::new(arguments);
    let text = arguments.last().to_string();
    let level = match arguments.next() {
        None => Level::INFO,
        Some(level) => {
            let level = super::text(&level).and_then(|level| Level::from_str(&level).ok());
            level.ok_or("the level has to be error, warn, info, debug or trace")?
        }
    };
    run.spend(0)?;
    write(run, level, &text);
    Ok(Dynamic::UNIT)
}

/// What `print` and `debug` say.
pub(crate) fn log_text(level: Level, text: &str) {
    // Where there is no call there is nobody to say anything.
    let _ = run::with(|run| {
        run.spend(0)?;
        write(run, level, text);
        Ok(())
    });
}

fn write(run: &Run, level: Level, text: &str) {
    let (file, port) = (&run.code.file, &run.me);
    match level {
        Level::ERROR => tracing::error!(file, %port, "{text}"),
        Level::WARN => tracing::warn!(file, %port, "{text}"),
        Level::INFO => tracing::info!(file, %port, "{text}"),
        Level::DEBUG => tracing::debug!(file, %port, "{text}"),
        Level::TRACE => tracing::trace!(file, %port, "{text}"),
    }
}

/// `text(VALUE)`: bytes as a string, read as UTF-8, or as Latin-1 if they are none. A string stays
/// as it is.
fn decoded(value: Dynamic) -> Result<Dynamic, Fault> {
    if value.is_string() {
        return Ok(value);
    }
    let bytes = value.into_blob().map_err(|found| format!("expected a string or a blob, found {found}"))?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(error) => text(&Dynamic::from_blob(error.into_bytes())).unwrap_or_default().into(),
    })
}

/// `bytes(VALUE)`: a string as a blob: one byte for each character where all are below U+0100 and
/// it came as bytes, else UTF-8. A blob stays as it is.
fn encoded(value: Dynamic) -> Result<Dynamic, Fault> {
    if value.is_blob() {
        return Ok(value);
    }
    match crate::values::to_wire(&value)? {
        Value::Bytes(bytes) => Ok(Dynamic::from_blob(bytes.to_vec())),
        Value::Text(text) => Ok(Dynamic::from_blob(text.into_bytes())),
        _ => Err(format!("expected a string or a blob, found {value:?}").into()),
    }
}
