//! What a script has asked for and is done when it has ended.

use std::convert::Infallible;
use std::task::{self, Poll, Waker};
use std::time::Duration;

use aemp::{AnyMessage, Change, Context, Database, DatabaseError, DbWatch, PortId, Reason, ReplyTo, Value};
use rhai::{Array, Dynamic};
use tokio::sync::oneshot;
use tokio::task::unconstrained;

use crate::entry::Entry;
use crate::limits::Limits;
use crate::port::{self, Handler, State, Wait};
use crate::quota::Share;
use crate::values::from_wire;

/// Resolves when what waits is not wanted any more.
type Cancelled = oneshot::Receiver<Infallible>;

/// One thing to be done.
pub(crate) enum Effect {
    Send(PortId, AnyMessage),
    Kill(PortId, Reason),
    /// The own port has a handler for this tag, or for what no tag fits, or has it no more.
    Receive(Option<String>, Option<Handler>),
    /// With what it takes up until it has fired.
    Monitor(PortId, Then, [Share; 2]),
    Later(Later, Waiting),
    /// What was begun under this number is not wanted any more.
    Cancel(i64),
    /// An entry that goes with the own port.
    Keep(Entry),
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
            Effect::Monitor(port, then, shares) => then.monitor(cx, &port, shares),
            Effect::Later(later, waiting) => later.begin(cx, waiting),
            Effect::Cancel(number) => cx.state::<State>().forget(number),
            Effect::Keep(entry) => cx.state::<State>().keep(entry),
        }
    }
}

impl Then {
    fn monitor(self, cx: &mut Context<'_>, port: &PortId, shares: [Share; 2]) {
        let node = cx.node();
        let die = |shares| {
            move |cx: &mut Context<'_>, reason: Reason| {
                drop::<[Share; 2]>(shares);
                if !reason.is_normal() {
                    cx.end(reason);
                }
            }
        };
        match self {
            Then::Die => cx.monitor(port, die(shares)).detach(),
            Then::Kill(victim) if victim.node() == node.id() => {
                node.monitor_in(port, &victim, die(shares)).detach();
            }
            Then::Kill(victim) => {
                let (own, target) = (node.clone(), port);
                let kill = move |reason: Reason| {
                    drop(shares);
                    if !reason.is_normal() {
                        own.kill(&victim, reason);
                    }
                };
                node.monitor(target, kill).detach();
            }
            Then::Send(to, mut values) => {
                let message = move |reason: Reason| {
                    drop(shares);
                    values.extend_from_slice(reason.values());
                    AnyMessage(values)
                };
                node.monitor_send(port, &to, message).detach();
            }
        }
    }
}

impl Later {
    fn begin(self, cx: &mut Context<'_>, waiting: Waiting) {
        let Waiting { number, handler, share } = waiting;
        let (wanted, cancelled) = oneshot::channel();
        cx.state::<State>().waiting.insert(number, Wait { handler, _wanted: wanted });
        match self {
            Later::Timer(delay) => {
                let timer = until(cancelled, share, tokio::time::sleep(delay));
                cx.task(timer, move |cx, passed| {
                    if passed.is_some() {
                        port::resume(cx, number, |_| Ok(Vec::new()));
                    }
                });
            }
            Later::Death(port) => {
                let guard = cx.monitor(&port, move |cx, reason| {
                    drop(share);
                    cx.state::<State>().guards.remove(&number);
                    port::resume(cx, number, |limits| Ok(vec![reason_array(&reason, limits)]));
                });
                cx.state::<State>().guards.insert(number, guard);
            }
            Later::Answer(port, limit, mut values) => {
                let message = |reply: ReplyTo<AnyMessage>| {
                    values.push(Value::from(reply.port()));
                    AnyMessage(values)
                };
                let call = until(cancelled, share, begun(cx.node().call(&port, limit, message)));
                cx.task(call, move |cx, answer| {
                    let Some(answer) = answer else { return };
                    // As in Perl, no answer is an answer without values.
                    let values = answer.map(|AnyMessage(values)| values).unwrap_or_default();
                    port::resume(cx, number, |limits| {
                        values.iter().map(|value| from_wire(value, limits)).collect()
                    });
                });
            }
            Later::Query(query, family) => {
                let database = cx.node().db();
                let ask = async move { query.ask(&database, &family).await };
                cx.task(until(cancelled, share, ask), move |cx, answer| match answer {
                    Some(Ok(answer)) => {
                        port::resume(cx, number, |limits| Ok(vec![from_wire(&answer, limits)?]))
                    }
                    Some(Err(error)) => cx.fail(error),
                    None => {}
                });
            }
            Later::Change(family) => {
                Watch { number, changes: cx.node().db().watch(&family), cancelled, _share: share }.go_on(cx)
            }
        }
    }
}

/// What comes of it, unless it is cancelled before; the share is held until then.
async fn until<T>(cancelled: Cancelled, share: Share, future: impl Future<Output = T>) -> Option<T> {
    let _share = share;
    tokio::select! {
        result = future => Some(result),
        _ = cancelled => None,
    }
}

/// Begins something now, in the order of the script; its end is waited for later.
fn begun<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let mut future = Box::pin(unconstrained(future));
    let first = future.as_mut().poll(&mut task::Context::from_waker(Waker::noop()));
    async move {
        match first {
            Poll::Ready(result) => result,
            Poll::Pending => future.await,
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
    cancelled: Cancelled,
    _share: Share,
}

impl Watch {
    /// Waits for the next change, and then again.
    fn go_on(mut self, cx: &mut Context<'_>) {
        let next = async move {
            let change = tokio::select! {
                change = self.changes.next() => change?,
                _ = &mut self.cancelled => return None,
            };
            Some((self, change))
        };
        cx.task(next, |cx, next| {
            let Some((watch, change)) = next else { return };
            let wait = cx.state::<State>().waiting.get(&watch.number);
            if let Some(handler) = wait.map(|wait| wait.handler.clone()) {
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

/// The reason as scripts see it: an array, empty for a normal death. A value in it that is too
/// large is cut out.
fn reason_array(reason: &Reason, limits: &Limits) -> Dynamic {
    let values = reason.values().iter().map(|value| from_wire(value, limits).unwrap_or(Dynamic::UNIT));
    Dynamic::from_array(values.collect::<Array>())
}
