//! What the code that runs in a port has asked for, and takes effect when it has ended.

use aemp_proto::Reason;

use super::actor::Actor;
use super::handlers::Change;
use super::known::BoxedMailbox;
use super::port_no::PortNo;
use super::pressure::{Crowded, Pressure};
use crate::node::Node;

/// Why handlers of tags cannot be changed.
pub(crate) const NO_TAGS: &str =
    "this port has no tagged handlers: open it with Node::handlers or Context::receive_tagged";

/// What the code that runs has asked for; most ask for nothing, and have none.
#[derive(Default)]
pub(crate) struct Effects {
    /// The port ends.
    end: Option<Reason>,
    /// It becomes another one.
    pub(crate) becomes: Option<Becomes>,
    /// Its handlers by tag change, or those of what it becomes.
    pub(crate) changes: Vec<Change>,
    /// It waits for these receivers, for all of them.
    pub(crate) crowded: Crowded,
}

/// What a port becomes.
pub(crate) enum Becomes {
    /// A callback port.
    Callback(BoxedMailbox, Box<dyn Actor>),
    /// A callback port that is made of the changes of handlers which the code has asked for when it
    /// ends.
    OfChanges(MakeOfChanges),
    /// An async port; the function starts its task.
    Task(StartTask),
}

/// Makes a callback port.
pub(crate) type MakeOfChanges = Box<dyn FnOnce(Vec<Change>) -> (BoxedMailbox, Box<dyn Actor>) + Send>;

/// Starts the task of the port with this number, which has to wait for these before.
pub(crate) type StartTask = Box<dyn FnOnce(&Node, PortNo, Crowded) + Send>;

impl Effects {
    /// The port ends with the first of these reasons.
    pub(crate) fn end(&mut self, reason: Reason) {
        self.end.get_or_insert(reason);
    }

    /// The port becomes the last of these.
    pub(crate) fn become_another(&mut self, becomes: Becomes) {
        self.becomes = Some(becomes);
    }

    /// A change of the handlers by tag, for the port or for what it becomes.
    pub(crate) fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// The port runs again only when this receiver, and all others that it has to wait for, have
    /// drained.
    pub(crate) fn wait_for(&mut self, receiver: Pressure) {
        self.crowded.insert(receiver);
    }

    /// Whether handlers of this port change.
    pub(crate) fn has_changes(&self) -> bool {
        !self.changes.is_empty() && self.becomes.is_none()
    }

    /// The changes, for the handlers of this port.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Whether the code has set a receiver.
    pub(crate) fn has_receiver(&self) -> bool {
        self.becomes.is_some() || !self.changes.is_empty()
    }

    /// Whether the run of the port is over: it ends, or becomes another, or its receiver is behind.
    pub(crate) fn stops_run(&self) -> bool {
        self.end.is_some() || self.becomes.is_some() || !self.crowded.is_empty()
    }

    /// Why the port ends, now that the code has ended.
    pub(crate) fn reason_of_end(&mut self) -> Option<Reason> {
        if !self.changes.is_empty() && !matches!(self.becomes, Some(Becomes::OfChanges(_))) {
            self.end(Reason::died(NO_TAGS));
        }
        self.end.take()
    }
}
