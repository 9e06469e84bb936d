//! The verbs that scripts have: those of `AnyEvent::MP`, with the same names where they do the
//! same.

mod database;
mod messages;
mod ports;
mod surroundings;

use std::any::TypeId;
use std::ops::RangeInclusive;
use std::str::FromStr;

use aemp::{PortId, Value};
use rhai::{Dynamic, Engine, FnPtr};

use crate::port::Handler;
use crate::run::{self, Fault, Run};
use crate::values::{self, to_wire, weigh_wire};

pub(crate) use surroundings::log_text;

/// The most values that a verb takes as arguments of their own. The language looks for a function
/// by the types of all its arguments, and needs the longer the more these are; an array has no such
/// limit.
const VALUES_MAX: usize = 8;

/// What is longer is no tag but a text.
const TAG_MAX: usize = 255;

/// What a verb does with its arguments.
type Verb = fn(&mut Run, Vec<Dynamic>) -> Result<Dynamic, Fault>;

/// Gives all of them to an engine.
pub(crate) fn register(engine: &mut Engine) {
    messages::register(engine);
    ports::register(engine);
    database::register(engine);
    surroundings::register(engine);
}

/// Registers a verb under all these numbers of arguments.
fn verb(engine: &mut Engine, name: &str, arguments: RangeInclusive<usize>, verb: Verb) {
    for count in arguments {
        engine.register_raw_fn(name, vec![TypeId::of::<Dynamic>(); count], move |_, arguments| {
            let arguments = arguments.iter().map(|argument| argument.flatten_clone()).collect();
            run::with(|run| verb(run, arguments))
        });
    }
}

/// The arguments of a verb, taken from either end.
struct Arguments(std::vec::IntoIter<Dynamic>);

impl Arguments {
    fn new(arguments: Vec<Dynamic>) -> Arguments {
        Arguments(arguments.into_iter())
    }

    fn next(&mut self) -> Option<Dynamic> {
        self.0.next()
    }

    /// The next one. What is missing counts as `()`.
    fn take(&mut self) -> Dynamic {
        self.0.next().unwrap_or_default()
    }

    fn last(&mut self) -> Dynamic {
        self.0.next_back().unwrap_or_default()
    }

    fn port(&mut self) -> Result<PortId, Fault> {
        port(&self.take())
    }

    fn text(&mut self, what: &str) -> Result<String, Fault> {
        text(&self.take()).ok_or_else(|| format!("{what} has to be a string").into())
    }

    /// All that is left, as values of a message, and what they weigh. A tag is sent as bytes, as
    /// names are.
    fn message(self) -> Result<(Vec<Value>, usize), Fault> {
        message(self.0.as_slice())
    }
}

/// The values of a message, and what they weigh.
fn message(values: &[Dynamic]) -> Result<(Vec<Value>, usize), Fault> {
    let mut values = values.iter().map(to_wire).collect::<Result<Vec<Value>, _>>()?;
    if let Some(Value::Text(tag)) = values.first()
        && tag.len() <= TAG_MAX
    {
        values[0] = Value::name(tag);
    }
    let weight = values.iter().map(weigh_wire).sum();
    Ok((values, weight))
}

/// A text, also if it came as bytes that are no ASCII.
fn text(value: &Dynamic) -> Option<String> {
    to_wire(value).ok()?.to_name()
}

fn port(value: &Dynamic) -> Result<PortId, Fault> {
    let port = text(value).and_then(|text| PortId::from_str(&text).ok());
    port.ok_or_else(|| format!("{value:?} is not a port ID").into())
}

/// A port ID as scripts see it: a string, which is sent as a name.
fn port_value(port: &PortId) -> Dynamic {
    values::bytes_text(&port.to_string())
}

/// Keeps a function of the running script, beside this many bytes of something else.
fn handler(run: &Run, function: Dynamic, beside: usize) -> Result<Handler, Fault> {
    match function.try_cast_result::<FnPtr>() {
        Ok(function) => Handler::new(&run.host, &run.code, function, beside),
        Err(other) => Err(format!("expected a function, found {other:?}").into()),
    }
}

fn seconds(value: &Dynamic) -> Result<std::time::Duration, Fault> {
    let seconds = value.as_float().or_else(|_| value.as_int().map(|seconds| seconds as f64));
    let wrong = || -> Fault { format!("{value:?} is not a number of seconds").into() };
    std::time::Duration::try_from_secs_f64(seconds.map_err(|_| wrong())?).map_err(|_| wrong())
}
