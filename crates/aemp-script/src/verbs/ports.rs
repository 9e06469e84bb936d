//! `port`, `rcv`, `mon`, `after`: what a port is made of.

use rhai::{Dynamic, Engine, Map};

use super::{Arguments, VALUES_MAX, handler, port, port_value, seconds, text, verb};
use crate::effect::{Effect, Later, Then, Waiting};
use crate::engine::is_function;
use crate::port::{Handler, State};
use crate::run::{Fault, Run};

pub(super) fn register(engine: &mut Engine) {
    verb(engine, "port", 0..=2, open);
    verb(engine, "rcv", 2..=3, receive);
    verb(engine, "mon", 1..=2 + VALUES_MAX, monitor);
    verb(engine, "after", 2..=2, after);
    verb(engine, "cancel", 1..=1, cancel);
}

/// `port()`, `port(|message| …)`, `port(STATE)`, `port(STATE, |message| …)`: the ID of a new port.
/// STATE is a map, and `this` in its handlers.
fn open(run: &mut Run, arguments: Vec<Dynamic>) -> Result<Dynamic, Fault> {
    let mut arguments = Arguments::new(arguments);
    let (mut this, mut default) = (None, None);
    while let Some(argument) = arguments.next() {
        if is_function(&argument) && default.is_none() {
            default = Some(handler(run, argument, 0)?);
        } else if argument.is_map() && this.is_none() && default.is_none() {
            this = Some(argument);
        } else {
            return Err("port takes a map, which is its state, and a function, in this order".into());
        }
    }
    run.spend(0)?;
    let this = this.unwrap_or_else(|| Map::new().into());
    Ok(port_value(&State::new(&run.host, this, default)?.open(&run.node)))
}

/// `rcv(PORT, TAG, |value…| …)`, `rcv(PORT, |message| …)`: sets a handler, or takes it away with
/// `()` for the function.
fn receive(run: &mut Run, arguments: Vec<Dynamic>) -> Result<Dynamic, Fault> {
    let mut arguments = Arguments::new(arguments);
    let port = arguments.port()?;
    let function = arguments.last();
    let tag = arguments.next().map(|tag| text(&tag).ok_or("a tag has to be a string")).transpose()?;
    let handler = if function.is_unit() {
        None
    } else {
        Some(handler(run, function, tag.as_ref().map_or(0, String::len))?)
    };
    if port == run.me {
        run.ask(0, Effect::Receive(tag, handler))?;
    } else if run.host.ports.has(&port) {
        run.spend(0)?;
        run.node.run_in(&port, move |cx| cx.state::<State>().set_handler(tag, handler));
    } else {
        return Err(format!("{port} is not a port that a script of this node made").into());
    }
    Ok(port_value(&port))
}

/// `mon(PORT, |reason| …)` runs a function in this port, `mon(PORT)` dies with it, `mon(PORT,
/// OTHER)` kills another one, `mon(PORT, OTHER, VALUE…)` sends it the values and the reason. Only
/// the first can be cancelled.
fn monitor(run: &mut Run, arguments: Vec<Dynamic>) -> Result<Dynamic, Fault> {
    let mut arguments = Arguments::new(arguments);
    let watched = arguments.port()?;
    let (then, weight) = match arguments.next() {
        None => (Then::Die, 0),
        Some(function) if is_function(&function) => {
            let handler = handler(run, function, 0)?;
            return later(run, 0, Later::Death(watched), handler);
        }
        Some(other) => {
            let other = port(&other)?;
            let (values, weight) = arguments.message()?;
            (if values.is_empty() { Then::Kill(other) } else { Then::Send(other, values) }, weight)
        }
    };
    let shares = [run.host.pending.take(1)?, run.host.memory.take(weight)?];
    run.ask(weight, Effect::Monitor(watched, then, shares))?;
    Ok(Dynamic::UNIT)
}

/// `after(SECONDS, || …)`
fn after(run: &mut Run, arguments: Vec<Dynamic>) -> Result<Dynamic, Fault> {
    let mut arguments = Arguments::new(arguments);
    let delay = seconds(&arguments.take())?;
    let handler = handler(run, arguments.take(), 0)?;
    later(run, 0, Later::Timer(delay), handler)
}

/// Begins something that can be cancelled, with values of this weight: gives its number.
pub(super) fn later(run: &mut Run, weight: usize, later: Later, handler: Handler) -> Result<Dynamic, Fault> {
    let waiting = Waiting { number: run.host.number(), handler, share: run.host.pending.take(1)? };
    let number = waiting.number;
    run.ask(weight, Effect::Later(later, waiting))?;
    Ok(number.into())
}

/// `cancel(NUMBER)`: what `after`, `mon`, `cal` or `db_mon` has given a number to will not run.
fn cancel(run: &mut Run, arguments: Vec<Dynamic>) -> Result<Dynamic, Fault> {
    let number = Arguments::new(arguments).take().as_int()?;
    run.ask(0, Effect::Cancel(number))?;
    Ok(Dynamic::UNIT)
}
