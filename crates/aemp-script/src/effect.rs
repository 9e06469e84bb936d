//! What a script has asked for and is done when it has ended.

use std::time::Duration;

use aemp::{
    Change, Context, Database, DatabaseError, DbGuard, DbWatch, Message, PortId, Reason, ReplyTo, Value,
};
use rhai::{Array, Dynamic};

use crate::limits::Limits;
use crate::port::{self, Handler, State};
use crate::quota::Share;
use crate::values::from_wire;

/// One thing to be done.
pub(crate) enum Effect {
    Send(PortId, Message),
    Kill(PortId, Reason),
    /// The own port has a handler for this tag, or for what no tag fits, or has it no more.
    Receive(Option<String>, Option<Handler>),
    Monitor(PortId, Then),
    Later(Later, Waiting),
    /// What was begun under this number is not wanted any more.
    Cancel(i64),
    /// An entry that goes with the own port.
    Keep(DbGuard),
}

/// What a monitor does that runs no code of the script.
pub(crate) enum Then {
    /// Kills the own port, if the reason is abnormal.
    Die,
    /// Kills this port, if the reason is abnormal.
    Kill(PortId),
    /// Sends these values and the reason.
    Send(PortId, Vec<Value>),
}

/// What happens later, and then runs code of the script.
pub(crate) enum Later {
    /// Time has passed.
    Timer(Duration),
    /// A port has died.
    Death(PortId),
    /// A call was answered, or not in time.
    Answer(PortId, Duration, Vec<Value>),
    /// A question to the database was answered.
    Query(Query, String),
    /// A family of the database has changed.
    Change(String),
}

/// What is asked about a family.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Query {
    All,
    Keys,
    Values,
}

/// The code that runs then, and under which number it waits.
pub(crate) struct Waiting {
    pub(crate) number: i64,
    pub(crate) handler: Handler,
    pub(crate) share: Share,
}

impl Effect {
    /// Does it, in the context of the port in which the script ran.
    pub(crate) fn apply(self, cx: &mut Context<'_>) {
        match self {
            Effect::Send(to, message) => cx.send(&to, message),
            Effect::Kill(port, reason) => cx.kill(&port, reason),
            Effect::Receive(tag, handler) => cx.state::<State>().set_handler(tag, handler),
            Effect::Monitor(port, then) => then.monitor(cx, &port),
            Effect::Later(later, waiting) => later.begin(cx, waiting),
            Effect::Cancel(number) => cx.state::<State>().forget(number),
            Effect::Keep(entry) => cx.state::<State>().entries.push(entry),
        }
    }
}

impl Then {
    fn monitor(self, cx: &mut Context<'_>, port: &PortId) {
        let node = cx.node();
        match self {
            Then::Die => cx.monitor_kill(port).detach(),
            Then::Kill(victim) => node.monitor_kill(port, &victim).detach(),
            Then::Send(to, mut values) => {
                let message = move |reason: Reason| {
                    values.extend_from_slice(reason.values());
                    Message(values)
                };
                node.monitor_send(port, &to, message).detach();
            }
        }
    }
}

impl Later {
    fn begin(self, cx: &mut Context<'_>, waiting: Waiting) {
        let Waiting { number, handler, share } = waiting;
        cx.state::<State>().waiting.insert(number, handler);
        match self {
            Later::Timer(delay) => cx.after(delay, move |cx| {
                drop(share);
                port::resume(cx, number, |_| Ok(Vec::new()));
            }),
            Later::Death(port) => {
                let guard = cx.monitor(&port, move |cx, reason| {
                    drop(share);
                    cx.state::<State>().guards.remove(&number);
                    port::resume(cx, number, |limits| Ok(vec![reason_array(&reason, limits)]));
                });
                cx.state::<State>().guards.insert(number, guard);
            }
            Later::Answer(port, limit, mut values) => {
                let message = |reply: ReplyTo<Message>| {
                    values.push(Value::from(reply.port()));
                    Message(values)
                };
                cx.call(&port, limit, message, move |cx, answer| {
                    drop(share);
                    // As in Perl, no answer is an answer without values.
                    let values = answer.map(|Message(values)| values).unwrap_or_default();
                    port::resume(cx, number, |limits| {
                        values.iter().map(|value| from_wire(value, limits)).collect()
                    });
                });
            }
            Later::Query(query, family) => {
                let database = cx.node().db();
                cx.task(async move { query.ask(&database, &family).await }, move |cx, answer| {
                    drop(share);
                    match answer {
                        Ok(answer) => {
                            port::resume(cx, number, |limits| Ok(vec![from_wire(&answer, limits)?]))
                        }
                        Err(error) => cx.fail(error),
                    }
                });
            }
            Later::Change(family) => {
                Watch { number, changes: cx.node().db().watch(&family), _share: share }.go_on(cx)
            }
        }
    }
}

impl Query {
    async fn ask(self, database: &Database, family: &str) -> Result<Value, DatabaseError> {
        Ok(match self {
            Query::All => content(database.family(family).await?.iter()),
            Query::Keys => keys(&database.keys(family).await?),
            Query::Values => Value::List(database.values(family).await?),
        })
    }
}

/// A family that is watched.
struct Watch {
    number: i64,
    changes: DbWatch,
    _share: Share,
}

impl Watch {
    /// Waits for the next change, and then again.
    fn go_on(mut self, cx: &mut Context<'_>) {
        let next = async move {
            let change = self.changes.next().await;
            (self, change)
        };
        cx.task(next, |cx, (watch, change)| {
            let handler = cx.state::<State>().waiting.get(&watch.number).cloned();
            if let (Some(handler), Some(change)) = (handler, change) {
                port::run_handler(cx, &handler, |limits| changed(&change, limits));
                watch.go_on(cx);
            }
        });
    }
}

fn changed(change: &Change, limits: &Limits) -> Result<Vec<Dynamic>, crate::values::ValueError> {
    let content = content(change.content.iter());
    let lists = [&change.added, &change.changed, &change.deleted].map(|names| keys(names));
    std::iter::once(&content).chain(&lists).map(|value| from_wire(value, limits)).collect()
}

fn content<'a>(entries: impl Iterator<Item = (&'a String, &'a Value)>) -> Value {
    Value::Map(entries.map(|(key, value)| (Value::name(key), value.clone())).collect())
}

fn keys(names: &[String]) -> Value {
    Value::List(names.iter().map(|name| Value::name(name)).collect())
}

/// The reason as scripts see it: an array, empty for a normal death. A value in it that is too large is cut out.
fn reason_array(reason: &Reason, limits: &Limits) -> Dynamic {
    let values = reason.values().iter().map(|value| from_wire(value, limits).unwrap_or(Dynamic::UNIT));
    Dynamic::from_array(values.collect::<Array>())
}
