//! Ports whose code is a script: their state, and how a message becomes a call.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use aemp::{AnyMessage, Context, MonitorGuard, Node, PortId, Reason};
use rhai::{CallFnOptions, Dynamic, Engine, EvalAltResult, FnPtr, Map, Scope};
use tokio::sync::oneshot;

use crate::code::Code;
use crate::entry::Entry;
use crate::host::Host;
use crate::limits::Limits;
use crate::quota::{Place, Share};
use crate::run::{Fault, Run};
use crate::values::{ValueError, from_wire, weigh};

/// What a handler is reckoned with beside what it has captured.
const HANDLER: usize = 100;

/// A function of a script that waits for something.
#[derive(Clone)]
pub(crate) struct Handler {
    code: Arc<Code>,
    function: Arc<FnPtr>,
    _share: Arc<Share>,
}

impl Handler {
    /// Keeps a function. An error if there is too much already.
    /// `beside` are the bytes of what is kept with it.
    pub(crate) fn new(
        host: &Host,
        code: &Arc<Code>,
        function: FnPtr,
        beside: usize,
    ) -> Result<Handler, Fault> {
        let function = Dynamic::from(function);
        let share = host.memory.take(HANDLER + beside + weigh(&function)?)?;
        Ok(Handler { code: code.clone(), function: Arc::new(function.cast()), _share: Arc::new(share) })
    }
}

/// A handler that waits; anyone who has the other end of `_wanted` stops when this is dropped.
pub(crate) struct Wait {
    pub(crate) handler: Handler,
    pub(crate) _wanted: oneshot::Sender<Infallible>,
}

/// The state of a port: what its handlers have as `this`, and what it waits for.
pub(crate) struct State {
    host: Arc<Host>,
    this: Dynamic,
    /// What `this` weighs.
    share: Share,
    default: Option<Handler>,
    tags: HashMap<String, Handler>,
    pub(crate) waiting: HashMap<i64, Wait>,
    pub(crate) guards: HashMap<i64, MonitorGuard>,
    /// By their family: the key is the port.
    entries: HashMap<String, Entry>,
    place: Arc<Place>,
}

impl State {
    pub(crate) fn new(host: &Arc<Host>, this: Dynamic, default: Option<Handler>) -> Result<State, Fault> {
        Ok(State {
            host: host.clone(),
            share: host.memory.take(weigh(&this)?)?,
            this,
            default,
            tags: HashMap::new(),
            waiting: HashMap::new(),
            guards: HashMap::new(),
            entries: HashMap::new(),
            place: host.ports.place()?,
        })
    }

    /// A state without anything.
    pub(crate) fn empty(host: &Arc<Host>) -> Result<State, Fault> {
        State::new(host, Map::new().into(), None)
    }

    /// Opens a port with this state.
    pub(crate) fn open(self, node: &Node) -> PortId {
        let place = self.place.clone();
        let port = node.handlers().state(self).fallback(message).build();
        place.is_of(&port);
        port
    }

    pub(crate) fn set_handler(&mut self, tag: Option<String>, handler: Option<Handler>) {
        match (tag, handler) {
            (None, handler) => self.default = handler,
            (Some(tag), Some(handler)) => {
                self.tags.insert(tag, handler);
            }
            (Some(tag), None) => {
                self.tags.remove(&tag);
            }
        }
    }

    /// Keeps an entry of the database until the port ends.
    pub(crate) fn keep(&mut self, entry: Entry) {
        // If it was entered before, it belongs to the later entry now.
        self.entries.insert(entry.family().to_owned(), entry);
    }

    /// Does not wait for this any more.
    pub(crate) fn forget(&mut self, number: i64) {
        self.waiting.remove(&number);
        self.guards.remove(&number);
    }

    fn has_handlers(&self) -> bool {
        self.default.is_some() || !self.tags.is_empty()
    }
}

/// Runs a function of a script in a new port, which receives afterwards, if the script has set a
/// handler.
pub(crate) fn init(
    cx: &mut Context<'_>,
    host: &Arc<Host>,
    code: &Arc<Code>,
    function: &str,
    arguments: &AnyMessage,
) -> Result<(), Reason> {
    let state = State::empty(host).map_err(|fault| code.reason(*fault))?;
    state.place.is_of(&cx.me());
    cx.set_state(state);
    let arguments =
        arguments.0.iter().map(|value| from_wire(value, &host.limits)).collect::<Result<Vec<_>, _>>();
    let arguments = code.fit(function, 0, arguments.map_err(|error| Reason::text("bad_message", error))?);
    run_in(cx, code, |engine, this| {
        let options = CallFnOptions::new().eval_ast(false).bind_this_ptr(this);
        finished(engine.call_fn_with_options(options, &mut Scope::new(), &code.ast, function, arguments))
    });
    if cx.state::<State>().has_handlers() {
        cx.receive(message);
    }
    Ok(())
}

/// Runs what waits under this number, unless it was cancelled.
pub(crate) fn resume(
    cx: &mut Context<'_>,
    number: i64,
    values: impl FnOnce(&Limits) -> Result<Vec<Dynamic>, ValueError>,
) {
    if let Some(wait) = cx.state::<State>().waiting.remove(&number) {
        run_handler(cx, &wait.handler, values);
    }
}

/// Calls a function with values, of which it gets as many as it takes. Values that are too large
/// kill the port.
pub(crate) fn run_handler(
    cx: &mut Context<'_>,
    handler: &Handler,
    values: impl FnOnce(&Limits) -> Result<Vec<Dynamic>, ValueError>,
) {
    let values = match values(&cx.state::<State>().host.limits) {
        Ok(values) => handler.code.fit_value(&handler.function, values),
        Err(error) => return cx.end(Reason::text("bad_message", error)),
    };
    run_in(cx, &handler.code, |engine, this| {
        finished(handler.function.call_as_method(engine, &handler.code.ast, this, values))
    });
}

/// Runs code of a script in the port, then does what it has asked for. An error kills the port.
fn run_in(
    cx: &mut Context<'_>,
    code: &Arc<Code>,
    script: impl FnOnce(&Engine, &mut Dynamic) -> Result<(), Fault>,
) {
    let (node, me) = (cx.node().clone(), cx.me());
    let state = cx.state::<State>();
    let host = state.host.clone();
    let this = std::mem::take(&mut state.this);
    let (outcome, effects) = Run::new(&host, &node, me, code).perform(move |engine| {
        let mut this = this;
        let ran = script(engine, &mut this);
        // Nothing that is nested too deeply gets out of here.
        let weight = weigh(&this)?;
        ran.map(|()| (this, weight))
    });
    for effect in effects {
        effect.apply(cx);
    }
    let kept = outcome.and_then(|(this, weight)| {
        let state = cx.state::<State>();
        state.this = this;
        let limit = host.limits.memory;
        if weight > limit {
            return Err(format!("{}: `this` has more than {limit} bytes (script_limits: memory)", code.file));
        }
        state.share.resize(weight).map_err(|fault| code.error_text(*fault))
    });
    if let Err(text) = kept {
        cx.fail(text);
    }
}

/// The end of a call: its result goes nowhere, and `exit` is no error.
pub(crate) fn finished(result: Result<Dynamic, Fault>) -> Result<(), Fault> {
    match result {
        Err(error) if !matches!(*error, EvalAltResult::Exit(..)) => Err(error),
        _ => Ok(()),
    }
}

/// A message for a port of a script.
fn message(cx: &mut Context<'_>, message: AnyMessage) {
    let state = cx.state::<State>();
    if !state.has_handlers() {
        return; // as for a port of Perl without a callback
    }
    let tagged = message.tag().and_then(|tag| state.tags.get(&tag).cloned());
    if let Some(handler) = tagged {
        let values = &message.0[1..];
        return run_handler(cx, &handler, |limits| {
            values.iter().map(|value| from_wire(value, limits)).collect()
        });
    }
    match state.default.clone() {
        Some(handler) => {
            run_handler(cx, &handler, |limits| Ok(vec![from_wire(&aemp::Value::List(message.0), limits)?]))
        }
        None => {
            let tag = message.tag().unwrap_or_default();
            cx.end(Reason::text("unhandled_message", format_args!("no handler for the tag {tag:?}")));
        }
    }
}
