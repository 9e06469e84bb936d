//! `snd`, `kil`, `cal`, `spawn`: what goes to other ports.

use aemp::{AnyMessage, Reason};
use rhai::{Dynamic, Engine, ImmutableString};

use super::ports::later;
use super::{Arguments, VALUES_MAX, handler, message, port_value, seconds, verb};
use crate::effect::{Effect, Later};
use crate::run::{self, Fault, Run};

pub(super) fn register(engine: &mut Engine) {
    for name in ["snd", "send"] {
        verb(engine, name, 1..=1 + VALUES_MAX, send);
    }
    verb(engine, "snd_all", 2..=2, send_all);
    verb(engine, "kil", 1..=1 + VALUES_MAX, kill);
    verb(engine, "cal", 3..=3 + VALUES_MAX, call);
    spawn_syntax(engine);
}

/// `spawn` is a word that the language has reserved for the future, so it cannot be a function; but
/// it can be a syntax, which looks like one: `spawn ( expression , expression … )`.
fn spawn_syntax(engine: &mut Engine) {
    let next = |symbols: &[ImmutableString], ahead: &str, _: &mut Dynamic| {
        let next = match symbols.last().map_or("", |symbol| symbol.as_str()) {
            ")" => return Ok(None),
            "(" | "," => "$expr$",
            "$expr$" if ahead == "," => ",",
            "$expr$" => ")",
            _ => "(",
        };
        Ok(Some(next.into()))
    };
    engine.register_custom_syntax_with_state_raw("spawn", next, false, |context, inputs, _| {
        let arguments = inputs.iter().map(|input| context.eval_expression_tree(input).map(Dynamic::flatten));
        let arguments = arguments.collect::<Result<_, _>>()?;
        run::with(|run| spawn(run, arguments))
    });
}

/// `snd(PORT, VALUE…)`
fn send(run: &mut Run, arguments: Vec<Dynamic>) -> Result<Dynamic, Fault> {
    let mut arguments = Arguments::new(arguments);
    let to = arguments.port()?;
    let (values, weight) = arguments.message()?;
    run.ask(weight, Effect::Send(to, AnyMessage(values)))?;
    Ok(Dynamic::UNIT)
}

/// `snd_all(PORT, ARRAY)`: its items are the values of the message.
fn send_all(run: &mut Run, arguments: Vec<Dynamic>) -> Result<Dynamic, Fault> {
    let mut arguments = Arguments::new(arguments);
    let to = arguments.port()?;
    let values =
        arguments.take().into_array().map_err(|found| format!("expected an array, found {found}"))?;
    let (values, weight) = message(&values)?;
    run.ask(weight, Effect::Send(to, AnyMessage(values)))?;
    Ok(Dynamic::UNIT)
}

/// `kil(PORT, REASON…)`
fn kill(run: &mut Run, arguments: Vec<Dynamic>) -> Result<Dynamic, Fault> {
    let mut arguments = Arguments::new(arguments);
    let port = arguments.port()?;
    let (reason, weight) = arguments.message()?;
    run.ask(weight, Effect::Kill(port, Reason::new(reason)))?;
    Ok(Dynamic::UNIT)
}

/// `cal(PORT, VALUE…, SECONDS, |answer…| …)`: the port for the answer is added to the values.
/// Without an answer in time, or if the port dies, the function gets no values.
fn call(run: &mut Run, arguments: Vec<Dynamic>) -> Result<Dynamic, Fault> {
    let mut arguments = Arguments::new(arguments);
    let handler = handler(run, arguments.last(), 0)?;
    let limit = seconds(&arguments.last())?;
    let port = arguments.port()?;
    let (values, weight) = arguments.message()?;
    later(run, weight, Later::Answer(port, limit, values), handler)
}

/// `spawn(NODE, "a::b::function", VALUE…)`: the ID of the new port.
fn spawn(run: &mut Run, arguments: Vec<Dynamic>) -> Result<Dynamic, Fault> {
    let mut arguments = Arguments::new(arguments);
    let node = arguments.port()?.node().clone();
    let function = arguments.text("the name of a function")?;
    let values = arguments.0.as_slice().iter().map(super::to_wire).collect::<Result<Vec<_>, _>>()?;
    run.spend(values.iter().map(super::weigh_wire).sum())?;
    let here = node == *run.node.id();
    // Taken before, so that no port comes to be beyond the limit; held until it dies.
    let share = if here { Some(run.host.spawned.take(1)?) } else { None };
    let port = run.node.spawn(&node, &function, AnyMessage(values)).map_err(|error| error.to_string())?;
    if let Some(share) = share {
        run.node.monitor(&port, move |_| drop(share)).detach();
    }
    Ok(port_value(&port))
}
