//! What the code that runs in a port has asked for, and takes effect when it has ended.

use aemp_proto::Reason;

use super::actor::Actor;
use super::host::Host;
use super::known::BoxedMailbox;
use super::port_no::PortNo;
use super::pressure::{Crowded, Pressure};

/// Why handlers of tags cannot be changed.
pub const NO_TAGS: &str =
    "this port has no tagged handlers: open it with Node::handlers or Context::receive_tagged";

/// What the code that runs has asked for; most ask for nothing, and have none.
pub struct Effects<H: Host> {
    /// The port ends.
    end: Option<Reason>,
    /// It becomes another one.
    pub becomes: Option<Becomes<H>>,
    /// Its handlers by tag change, or those of what it becomes.
    pub changes: Vec<H::Change>,
    /// The handler of a message that is followed runs.
    pub handling: Option<H::HandlerSpan>,
    /// It waits for these receivers, for all of them.
    pub crowded: Crowded<H>,
}

/// What a port becomes.
pub enum Becomes<H: Host> {
    /// A callback port.
    Callback(BoxedMailbox<H>, Box<dyn Actor<H>>),
    /// A callback port that is made of the changes of handlers which the code has asked for when it
    /// ends.
    OfChanges(MakeOfChanges<H>),
    /// An async port; the function starts its task.
    Task(StartTask<H>),
}

/// Makes a callback port.
pub type MakeOfChanges<H> =
    Box<dyn FnOnce(Vec<<H as Host>::Change>) -> (BoxedMailbox<H>, Box<dyn Actor<H>>) + Send>;

/// Starts the task of the port with this number, which has to wait for these before.
pub type StartTask<H> = Box<dyn FnOnce(&H, PortNo, Crowded<H>) + Send>;

impl<H: Host> Default for Effects<H> {
    fn default() -> Effects<H> {
        Effects { end: None, becomes: None, changes: Vec::new(), handling: None, crowded: Crowded::default() }
    }
}

impl<H: Host> Effects<H> {
    /// The port ends with the first of these reasons.
    pub fn end(&mut self, reason: Reason) {
        self.end.get_or_insert(reason);
    }

    /// The port becomes the last of these.
    pub fn become_another(&mut self, becomes: Becomes<H>) {
        self.becomes = Some(becomes);
    }

    /// A change of the handlers by tag, for the port or for what it becomes.
    pub fn change(&mut self, change: H::Change) {
        self.changes.push(change);
    }

    /// The port runs again only when this receiver, and all others that it has to wait for, have
    /// drained.
    pub fn wait_for(&mut self, receiver: Pressure<H>) {
        self.crowded.insert(receiver);
    }

    /// Whether handlers of this port change.
    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty() && self.becomes.is_none()
    }

    /// The changes, for the handlers of this port.
    pub fn take_changes(&mut self) -> Vec<H::Change> {
        std::mem::take(&mut self.changes)
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        !self.stops_run() && self.changes.is_empty() && self.handling.is_none()
    }

    /// Whether the code has set a receiver.
    pub fn has_receiver(&self) -> bool {
        self.becomes.is_some() || !self.changes.is_empty()
    }

    /// Whether the run of the port is over: it ends, or becomes another, or its receiver is behind.
    pub fn stops_run(&self) -> bool {
        self.end.is_some() || self.becomes.is_some() || !self.crowded.is_empty()
    }

    /// Why the port ends, now that the code has ended.
    pub fn reason_of_end(&mut self) -> Option<Reason> {
        if !self.changes.is_empty() && !matches!(self.becomes, Some(Becomes::OfChanges(_))) {
            self.end(Reason::died(NO_TAGS));
        }
        self.end.take()
    }
}
