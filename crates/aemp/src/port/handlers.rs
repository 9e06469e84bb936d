//! Ports with tagged handlers: the first value of a message says who handles it.

use std::collections::HashMap;
use std::fmt;

use aemp_proto::{Body, PortId, Reason, typed};
use serde::de::{DeserializeOwned, Error as _};

use super::Context;
use crate::message::{DecodeError, Envelope, FromMessage, misfit};
use crate::node::Node;
use aemp_ports::actor::{Callback, Handle};
use aemp_ports::effects::Effects;
use aemp_ports::known::Known;
use aemp_ports::mailbox::Queue;
use aemp_ports::slot::State;

type TagHandler = Box<dyn FnMut(&mut Context<'_>, &Body) -> Result<(), DecodeError> + Send>;
type OtherHandler = Box<dyn FnMut(&mut Context<'_>, Envelope) -> Result<(), DecodeError> + Send>;

/// A change of the handlers of a port.
#[allow(unreachable_pub)] // as a type of `Host`, a trait of another crate
pub enum Change {
    On(String, TagHandler),
    Off(String),
    Other(OtherHandler),
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a change of handlers")
    }
}

impl Change {
    pub(crate) fn on<T: DeserializeOwned>(
        tag: &str,
        mut handler: impl FnMut(&mut Context<'_>, T) + Send + 'static,
    ) -> Change {
        let handler: TagHandler = Box::new(move |cx, args| {
            let args = typed::from_body(args)?;
            handler(cx, args);
            Ok(())
        });
        Change::On(tag.into(), handler)
    }

    pub(crate) fn other<M: FromMessage>(
        mut handler: impl FnMut(&mut Context<'_>, M) + Send + 'static,
    ) -> Change {
        Change::Other(Box::new(move |cx, message| {
            let message = message.open()?;
            handler(cx, message);
            Ok(())
        }))
    }
}

/// The handlers of a port, by tag.
#[derive(Default)]
pub(crate) struct Tagged {
    tags: HashMap<String, TagHandler>,
    other: Option<OtherHandler>,
}

impl Tagged {
    pub(crate) fn new(changes: Vec<Change>) -> Tagged {
        let mut tagged = Tagged::default();
        changes.into_iter().for_each(|change| tagged.change(change));
        tagged
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::On(tag, handler) => {
                self.tags.insert(tag, handler);
            }
            Change::Off(tag) => {
                self.tags.remove(&tag);
            }
            Change::Other(handler) => self.other = Some(handler),
        }
    }

    fn handle(&mut self, cx: &mut Context<'_>, message: Envelope) -> Result<(), DecodeError> {
        let body = message.encode().map_err(DecodeError::custom)?;
        let tag = body.first_name();
        if let Some(handler) = tag.as_deref().and_then(|tag| self.tags.get_mut(tag)) {
            return handler(cx, &body.rest());
        }
        match &mut self.other {
            Some(handler) => handler(cx, message),
            None => {
                let tag = tag.as_deref().unwrap_or("");
                cx.end(Reason::text("unhandled_message", format_args!("no handler for the tag {tag:?}")));
                Ok(())
            }
        }
    }
}

impl Handle<Node, Envelope> for Tagged {
    fn message(&mut self, cx: &mut Context<'_>, message: Envelope) {
        if let Err(error) = self.handle(cx, message) {
            cx.end(misfit(&error));
        }
    }

    fn settle(&mut self, cx: &mut Context<'_>) {
        let changes = cx.asked().map(Effects::take_changes).unwrap_or_default();
        for change in changes {
            self.change(change);
        }
    }
}

/// A port with tagged handlers, before it is opened. Handlers can be changed later with
/// [`Context::on`] and [`Context::off`], from outside by [`Node::run_in`].
#[must_use = "the port exists only after build()"]
pub struct Handlers {
    node: Node,
    tagged: Tagged,
    state: Option<Box<dyn std::any::Any + Send>>,
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handlers(on {})", self.node.id())
    }
}

impl Handlers {
    pub(crate) fn new(node: Node) -> Handlers {
        Handlers { node, tagged: Tagged::default(), state: None }
    }

    /// Handles messages with this tag; `T` is what follows the tag: a tuple for several values,
    /// `()` for none.
    pub fn on<T: DeserializeOwned>(
        mut self,
        tag: &str,
        handler: impl FnMut(&mut Context<'_>, T) + Send + 'static,
    ) -> Handlers {
        self.tagged.change(Change::on(tag, handler));
        self
    }

    /// Handles what no tag fits. Without it such a message kills the port with `unhandled_message`.
    pub fn fallback<M: FromMessage>(
        mut self,
        handler: impl FnMut(&mut Context<'_>, M) + Send + 'static,
    ) -> Handlers {
        self.tagged.change(Change::other(handler));
        self
    }

    /// State that all handlers share, without a lock: [`Context::state`].
    pub fn state<S: Send + 'static>(mut self, state: S) -> Handlers {
        self.state = Some(Box::new(state));
        self
    }

    /// Opens the port.
    pub fn build(self) -> PortId {
        let actor = Callback::<Node, Envelope, Tagged>::new(self.tagged, self.state);
        self.node.open(State::Idle, Known::boxed(Queue::<Node, Envelope>::default()), Some(Box::new(actor)))
    }
}
