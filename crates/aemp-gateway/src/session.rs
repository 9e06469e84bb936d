//! One client: what it asks for, what becomes of that, and its end.
//!
//! The promise of the network reaches to the client: when a monitor fires because of a loss, what
//! the client sends to that port is dropped until it has said that it knows (`told`). For this all
//! of a client's monitors and calls are waited for in the one task that also sends for it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aemp::{AnyMessage, CallError, DbWatch, Node, PortId, Reason, Value};
use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;
use serde_json::{Map, Value as Json};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::access::Rights;
use crate::families::Families;
use crate::grants::Grants;
use crate::outgoing::Outgoing;
use crate::protocol::{Act, Event, Refusal, to_json};

/// How long a client may wait for a port that is behind. The client is cut off then.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// What a client waits for.
pub(crate) enum Outcome {
    Fired(u64, PortId, Reason),
    Answered(u64, PortId, Result<AnyMessage, CallError>),
    Closed(PortId, Reason),
    /// It was withdrawn.
    Nothing,
}

type Wait = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A client that has proven who it is.
pub(crate) struct Session {
    node: Node,
    rights: Rights,
    families: Families,
    outgoing: Outgoing,
    grants: Grants,
    waits: FuturesUnordered<Wait>,
    calls: HashMap<u64, AbortHandle>,
    monitors: HashMap<u64, (PortId, AbortHandle)>,
    ports: HashSet<PortId>,
    watches: HashMap<u64, JoinHandle<()>>,
    /// Monitors and calls that have told of a loss and of which the client has not said that it
    /// knows.
    untold: HashMap<u64, PortId>,
}

impl Session {
    pub(crate) fn new(node: Node, rights: Rights, families: Families, outgoing: Outgoing) -> Session {
        outgoing.tell(&Event::Welcome { node: node.id().as_str() });
        Session {
            node,
            rights,
            families,
            outgoing,
            grants: Grants::default(),
            waits: FuturesUnordered::new(),
            calls: HashMap::new(),
            monitors: HashMap::new(),
            ports: HashSet::new(),
            watches: HashMap::new(),
            untold: HashMap::new(),
        }
    }

    /// Does what the client asks for.
    pub(crate) async fn act(&mut self, act: Act) -> Result<(), Refusal> {
        match act {
            Act::Hello { .. } => return Err(Refusal::end("malformed", "hello is only the first message")),
            Act::Send(port, values) => return self.send(port, values).await,
            Act::Call(id, port, values, milliseconds) => {
                return self.call(id, port, values, Duration::from_millis(milliseconds));
            }
            Act::Cancel(id) => abort(&mut self.calls, id),
            Act::Open(id) => return self.open(id),
            Act::Close(port, reason) => return self.close(&port, reason),
            Act::Monitor(id, port) => return self.monitor(id, port),
            Act::Told(id) => drop(self.untold.remove(&id)),
            Act::Unmonitor(id) => {
                if let Some((_, handle)) = self.monitors.remove(&id) {
                    handle.abort();
                }
                self.untold.remove(&id);
            }
            Act::Watch(id, family) => return self.watch(id, family),
            Act::Unwatch(id) => {
                if let Some(task) = self.watches.remove(&id) {
                    task.abort();
                }
            }
            Act::Ping(id) => self.outgoing.tell(&Event::Pong(id)),
        }
        Ok(())
    }

    /// Waits for the next thing that the client waits for; without one, for ever.
    pub(crate) async fn next(&mut self) -> Outcome {
        match self.waits.next().await {
            Some(outcome) => outcome,
            None => std::future::pending().await,
        }
    }

    /// Tells the client.
    pub(crate) fn tell(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Fired(id, port, reason) => {
                if self.monitors.remove(&id).is_some() {
                    self.untold.insert(id, port);
                    self.outgoing.tell(&Event::Fired(id, &reason));
                }
            }
            Outcome::Answered(id, port, answer) => {
                if self.calls.remove(&id).is_some() {
                    self.answered(id, port, answer);
                }
            }
            Outcome::Closed(port, reason) => {
                if self.ports.remove(&port) {
                    self.outgoing.tell(&Event::Closed(&port, &reason));
                }
            }
            Outcome::Nothing => {}
        }
    }

    fn answered(&mut self, id: u64, port: PortId, answer: Result<AnyMessage, CallError>) {
        match answer {
            Ok(AnyMessage(values)) => self.outgoing.tell(&Event::Reply(id, &values)),
            Err(CallError::Died(reason)) => {
                self.untold.insert(id, port);
                self.outgoing.tell(&Event::Failed(id, reason.values(), true));
            }
            Err(CallError::TimedOut(_)) => {
                self.outgoing.tell(&Event::Failed(
                    id,
                    &["timeout".into(), "no answer in time".into()],
                    false,
                ));
            }
            Err(error) => {
                self.outgoing.tell(&Event::Failed(
                    id,
                    &["bad_reply".into(), error.to_string().into()],
                    false,
                ));
            }
        }
    }

    async fn send(&mut self, port: PortId, values: Vec<Value>) -> Result<(), Refusal> {
        if !self.may_send(&port) {
            return Err(forbidden("send", None, &port));
        }
        if self.untold.values().any(|lost| *lost == port) {
            self.dropped(&port);
            return Ok(());
        }
        self.node
            .send(&port, AnyMessage(values))
            .map_err(|error| Refusal::of("send", None, error.to_string()))?;
        timeout(READY_TIMEOUT, self.node.ready(&port))
            .await
            .map_err(|_| Refusal::end("behind", format!("{port} cannot keep up")))
    }

    /// A message to a port was dropped, because the client did not know of an earlier loss. A
    /// monitor that it has set since must not hide that.
    fn dropped(&mut self, port: &PortId) {
        let hidden: Vec<u64> =
            self.monitors.iter().filter(|(_, (target, _))| target == port).map(|(id, _)| *id).collect();
        for id in hidden {
            if let Some((target, handle)) = self.monitors.remove(&id) {
                handle.abort();
                let reason = Reason::transport(port.node(), "sent before an earlier loss was known");
                self.untold.insert(id, target);
                self.outgoing.tell(&Event::Fired(id, &reason));
            }
        }
    }

    fn call(&mut self, id: u64, port: PortId, values: Vec<Value>, limit: Duration) -> Result<(), Refusal> {
        if !self.rights.may_call(&port, |family, port| self.families.has(family, port)) {
            return Err(forbidden("call", Some(id), &port));
        }
        if self.calls.len() >= self.rights.limits().calls {
            return Err(Refusal::of("calls", Some(id), "too many calls wait for an answer"));
        }
        self.is_free(id)?;
        let (handle, registration) = AbortHandle::new_pair();
        let lost = self.untold.values().any(|lost| *lost == port);
        let (node, to) = (self.node.clone(), port.clone());
        let call = async move {
            if lost {
                // The client does not know of the loss yet, so nothing more may reach the port.
                return Outcome::Answered(
                    id,
                    to,
                    Err(CallError::Died(Reason::text("transport_error", "lost before"))),
                );
            }
            let message = |reply: aemp::ReplyTo<AnyMessage>| {
                let mut message = AnyMessage(values);
                message.0.push(Value::from(reply.port()));
                message
            };
            let answer = node.call(&port, limit, message).await;
            Outcome::Answered(id, to, answer)
        };
        let mut call: Wait = Box::pin(abortable(call, registration));
        // Polled now, so that it is sent before what the client asks for next.
        let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.calls.insert(id, handle);
        match polled {
            Poll::Ready(outcome) => self.tell(outcome),
            // Polled again there, with a waker that counts.
            Poll::Pending => self.waits.push(call),
        }
        Ok(())
    }

    fn open(&mut self, id: u64) -> Result<(), Refusal> {
        if self.ports.len() >= self.rights.ports() {
            return Err(Refusal::of(
                "ports",
                Some(id),
                format!("the client may have {} ports", self.rights.ports()),
            ));
        }
        let (outgoing, grants) = (self.outgoing.clone(), self.grants.clone());
        let port = self.node.port(move |cx, message: AnyMessage| {
            grants.take(&message);
            outgoing.tell(&Event::Message(&cx.me(), &message.0));
        });
        let port = PortId::from(port);
        self.outgoing.tell(&Event::Opened(id, &port));
        let (died, closed) = (self.node.exited(&port), port.clone());
        self.waits.push(Box::pin(async move { Outcome::Closed(closed, died.await) }));
        self.ports.insert(port);
        Ok(())
    }

    fn close(&mut self, port: &PortId, reason: Vec<Value>) -> Result<(), Refusal> {
        if !self.ports.contains(port) {
            return Err(Refusal::of("close", None, format!("{port} is not a port of this client")));
        }
        self.node.kill(port, Reason::new(reason));
        Ok(())
    }

    fn monitor(&mut self, id: u64, port: PortId) -> Result<(), Refusal> {
        let member = |family: &str, port: &PortId| self.families.has(family, port);
        if !self.may_send(&port) && !self.rights.may_call(&port, member) {
            return Err(forbidden("monitor", Some(id), &port));
        }
        if self.monitors.len() + self.untold.len() >= self.rights.limits().monitors {
            return Err(Refusal::of("monitors", Some(id), "too many monitors are set"));
        }
        self.is_free(id)?;
        let (handle, registration) = AbortHandle::new_pair();
        let (died, to) = (self.node.exited(&port), port.clone());
        self.waits
            .push(Box::pin(abortable(async move { Outcome::Fired(id, port, died.await) }, registration)));
        self.monitors.insert(id, (to, handle));
        Ok(())
    }

    fn watch(&mut self, id: u64, family: String) -> Result<(), Refusal> {
        if !self.rights.may_watch(&family) {
            return Err(Refusal::of("watch", Some(id), "the client may not watch this family"));
        }
        if self.watches.len() >= self.rights.limits().watches {
            return Err(Refusal::of("watches", Some(id), "too many families are watched"));
        }
        self.is_free(id)?;
        let watch = self.node.db().watch(&family);
        let task = tokio::spawn(follow(watch, id, self.outgoing.clone()));
        self.watches.insert(id, task);
        Ok(())
    }

    /// Its own ports, those that have asked it something, and what the rules say.
    fn may_send(&self, port: &PortId) -> bool {
        self.ports.contains(port)
            || self.grants.has(port)
            || self.rights.may_send(port, |family, port| self.families.has(family, port))
    }

    fn is_free(&self, id: u64) -> Result<(), Refusal> {
        let used = self.calls.contains_key(&id)
            || self.monitors.contains_key(&id)
            || self.watches.contains_key(&id)
            || self.untold.contains_key(&id);
        if used { Err(Refusal::end("malformed", format!("the number {id} is in use"))) } else { Ok(()) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for task in self.watches.values() {
            task.abort();
        }
        for port in &self.ports {
            self.node.kill(port, Reason::NORMAL);
        }
    }
}

async fn follow(mut watch: DbWatch, id: u64, outgoing: Outgoing) {
    while let Some(change) = watch.next().await {
        let entries = |keys: &[String], content: &BTreeMap<String, Value>| -> Map<String, Json> {
            let entry = |key: &String| Some((key.clone(), to_json(content.get(key)?)));
            keys.iter().filter_map(entry).collect()
        };
        outgoing.tell(&Event::Changed {
            id,
            added: entries(&change.added, &change.content),
            changed: entries(&change.changed, &change.content),
            deleted: &change.deleted,
        });
    }
}

async fn abortable(
    outcome: impl Future<Output = Outcome> + Send,
    registration: futures_util::future::AbortRegistration,
) -> Outcome {
    Abortable::new(outcome, registration).await.unwrap_or(Outcome::Nothing)
}

fn abort(handles: &mut HashMap<u64, AbortHandle>, id: u64) {
    if let Some(handle) = handles.remove(&id) {
        handle.abort();
    }
}

fn forbidden(code: &'static str, id: Option<u64>, port: &PortId) -> Refusal {
    Refusal::of(code, id, format!("the client may not {code} to {port}"))
}
