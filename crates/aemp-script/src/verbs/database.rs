//! `db_set`, `db_reg`, `db_mon` and so on: the shared database.

use rhai::{Dynamic, Engine};

use super::ports::later;
use super::{Arguments, handler, port_value, verb};
use crate::effect::{Effect, Later, Query};
use crate::entry::{self, Entry};
use crate::port::State;
use crate::run::{Fault, Run};
use crate::values::to_wire;

pub(super) fn register(engine: &mut Engine) {
    verb(engine, "db_set", 2..=3, set);
    verb(engine, "db_del", 2..=2, delete);
    verb(engine, "db_reg", 1..=3, enter);
    verb(engine, "db_family", 2..=2, |run, arguments| ask(run, arguments, |f| Later::Query(Query::All, f)));
    verb(engine, "db_keys", 2..=2, |run, arguments| ask(run, arguments, |f| Later::Query(Query::Keys, f)));
    verb(engine, "db_values", 2..=2, |run, arguments| {
        ask(run, arguments, |f| Later::Query(Query::Values, f))
    });
    verb(engine, "db_mon", 2..=2, |run, arguments| ask(run, arguments, Later::Change));
}

/// `db_set(FAMILY, KEY, VALUE)`, `db_set(FAMILY, KEY)`: it stays until it is deleted or the node
/// ends.
fn set(run: &mut Run, arguments: Vec<Dynamic>) -> Result<Dynamic, Fault> {
    let mut arguments = Arguments::new(arguments);
    let (family, key) = (arguments.text("a family")?, arguments.text("a key")?);
    let value = to_wire(&arguments.take())?;
    run.spend(super::weigh_wire(&value))?;
    entry::set(&run.host, &run.node, &family, &key, value)?;
    Ok(Dynamic::UNIT)
}

/// `db_del(FAMILY, KEY)`
fn delete(run: &mut Run, arguments: Vec<Dynamic>) -> Result<Dynamic, Fault> {
    let mut arguments = Arguments::new(arguments);
    let (family, key) = (arguments.text("a family")?, arguments.text("a key")?);
    run.spend(0)?;
    entry::delete(&run.host, &run.node, &family, &key)?;
    Ok(Dynamic::UNIT)
}

/// `db_reg(FAMILY)`, `db_reg(FAMILY, PORT)`, `db_reg(FAMILY, PORT, VALUE)`: an entry with the ID of
/// a port, which goes with it.
fn enter(run: &mut Run, arguments: Vec<Dynamic>) -> Result<Dynamic, Fault> {
    let mut arguments = Arguments::new(arguments);
    let family = arguments.text("a family")?;
    let port = if arguments.0.len() == 0 { run.me.clone() } else { arguments.port()? };
    let value = to_wire(&arguments.take())?;
    run.spend(super::weigh_wire(&value))?;
    if port != run.me && !run.host.ports.has(&port) {
        return Err(format!("{port} is not a port that a script of this node made").into());
    }
    let entry = Entry::set(&run.host, &run.node, &family, &port.to_string(), value)?;
    if port == run.me {
        run.ask(0, Effect::Keep(entry))?;
    } else {
        run.node.run_in(&port, move |cx| cx.state::<State>().keep(entry));
    }
    Ok(port_value(&port))
}

/// `db_family(FAMILY, |map| …)`, `db_keys(FAMILY, |array| …)`, `db_values(FAMILY, |array| …)`, and
/// `db_mon(FAMILY, |content, added, changed, deleted| …)`: now, and at every change.
fn ask(run: &mut Run, arguments: Vec<Dynamic>, what: fn(String) -> Later) -> Result<Dynamic, Fault> {
    let mut arguments = Arguments::new(arguments);
    let family = arguments.text("a family")?;
    let handler = handler(run, arguments.take(), 0)?;
    later(run, 0, what(family), handler)
}
