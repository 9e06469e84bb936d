//! One slot of the table: a port, what waits for it, and what it is doing.
//!
//! The fields change by transitions only; each of these says in debug builds when it is not
//! allowed.
//!
//! | from | to | by |
//! |---|---|---|
//! | free | idle, task, unscheduled | `Slot::open`, `Slot::reopen` |
//! | idle | queued | [`Slot::added`], [`Slot::queue`] |
//! | idle, queued | running | [`Slot::begin_run`] |
//! | running | idle, queued | [`Slot::end_run`] |
//! | running | parked | [`Slot::park`] |
//! | parked | queued | [`Slot::queue`] |
//! | running | task | [`Slot::become_task`] |
//! | any | free | `Slot::vacate`, `Slot::keep` |
//!
//! Beside that a port is *closing* from the moment when a kill, or the answer that it waited for,
//! is queued.

use std::sync::Arc;

use aemp_proto::PortId;

use super::actor::Actor;
use super::extra::Extra;
use super::host::Host;
use super::known::{BoxedMailbox, Known};
use super::mailbox::Mailbox;
use super::mailbox_limits::MailboxLimits;
use super::port_no::PortNo;

/// How many items the first run of a port may handle.
const FIRST_QUOTA: u16 = 8;

/// What a port is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The slot is free, or kept for another port.
    Free,
    /// Nothing waits.
    Idle,
    /// It stands in a run queue.
    Queued,
    /// A runner has it.
    Running,
    /// It has sent more than the receiver could take, and waits until that has drained.
    Parked,
    /// It is a task, which ends the port.
    Task,
    /// It ends with its first message: never scheduled.
    Unscheduled,
}

/// One slot of the table.
pub struct Slot<H: Host> {
    generation: u32,
    state: State,
    /// A kill is queued: nothing that comes later counts.
    closing: bool,
    /// How many items a run may handle, so that it takes about one slice.
    quota: u16,
    /// Bytes that wait in the mailbox; 0 exactly if nothing does.
    waiting: usize,
    /// Bytes above which more has to be done than to put a message into the mailbox.
    crowd: usize,
    mailbox: Option<BoxedMailbox<H>>,
    /// The code; a runner has it while it runs.
    actor: Option<Box<dyn Actor<H>>>,
    /// What few ports have.
    extra: Option<Box<Extra<H>>>,
}

/// What follows for a port when something was added to its mailbox.
pub enum Added {
    /// The runner that has the port will see.
    Nothing,
    /// It is in state `Queued` now, and the caller puts it into a run queue.
    Schedule,
    /// It is crowded, or parked, or no runner's business.
    LookCloser,
}

/// What a port that is gone leaves.
pub struct Removed<H: Host> {
    /// What still waits.
    pub mailbox: Option<BoxedMailbox<H>>,
    /// The code; a runner may have it.
    pub actor: Option<Box<dyn Actor<H>>>,
    /// Who watches it, and what ends with it.
    pub extra: Option<Box<Extra<H>>>,
}

impl<H: Host> Slot<H> {
    pub(crate) const fn free() -> Slot<H> {
        Slot {
            generation: 0,
            state: State::Free,
            closing: false,
            quota: FIRST_QUOTA,
            waiting: 0,
            crowd: usize::MAX,
            mailbox: None,
            actor: None,
            extra: None,
        }
    }

    /// Puts a port into the slot, which is free; above `crowd` bytes in its mailbox it is crowded.
    /// Gives the generation that belongs to its number.
    pub(crate) fn open(
        &mut self,
        (state, crowd): (State, usize),
        mailbox: BoxedMailbox<H>,
        actor: Option<Box<dyn Actor<H>>>,
        extra: Option<Box<Extra<H>>>,
    ) -> u32 {
        debug_assert!(self.state == State::Free && state != State::Free);
        self.state = state;
        self.closing = false;
        self.quota = FIRST_QUOTA;
        self.waiting = 0;
        self.crowd = crowd;
        self.mailbox = Some(mailbox);
        self.actor = actor;
        self.extra = extra;
        self.generation
    }

    /// Puts an unscheduled port into the slot, with the mailbox that [`Slot::keep`] has left, if
    /// that suits.
    pub(crate) fn reopen(&mut self, suits: impl FnOnce(&mut Known<dyn Mailbox<H>>) -> bool) -> bool {
        debug_assert!(self.state == State::Free && self.extra.is_none());
        let reopened = self.mailbox.as_mut().is_some_and(|mailbox| suits(mailbox));
        if reopened {
            (self.state, self.closing) = (State::Unscheduled, false);
            self.waiting = 0;
        }
        reopened
    }

    /// Takes the port out: what it had, to be dropped when no lock is held, and whether another
    /// port can have the slot.
    pub(crate) fn vacate(&mut self) -> (Removed<H>, bool) {
        let removed =
            Removed { mailbox: self.mailbox.take(), actor: self.actor.take(), extra: self.extra.take() };
        self.state = State::Free;
        (removed, self.renew())
    }

    /// Ends a port that has nothing but an empty mailbox, which stays for the next one; gives the
    /// generation of that. `None` if there is not one left.
    pub(crate) fn keep(&mut self) -> Option<u32> {
        self.state = State::Free;
        if !self.renew() {
            self.mailbox = None;
            return None;
        }
        Some(self.generation)
    }

    /// A slot whose generation would wrap is never used again: that is false.
    fn renew(&mut self) -> bool {
        let Some(next) = self.generation.checked_add(1) else { return false };
        self.generation = next;
        true
    }

    /// Bytes were added to the mailbox.
    #[inline]
    pub fn added(&mut self, bytes: usize) -> Added {
        self.waiting += bytes;
        let crowded = self.is_crowded();
        match self.state {
            State::Running | State::Queued if !crowded => Added::Nothing,
            State::Idle if !crowded => {
                self.state = State::Queued;
                Added::Schedule
            }
            _ => Added::LookCloser,
        }
    }

    /// Bytes were added to the mailbox, and the caller looks at once what follows.
    #[inline]
    pub fn count(&mut self, bytes: usize) {
        self.waiting += bytes;
    }

    /// Whether so much waits that more has to be done than to put a message into the mailbox.
    #[inline]
    pub fn is_crowded(&self) -> bool {
        self.waiting > self.crowd
    }

    /// From now on the port has limits of its own.
    pub fn limit_mailbox(&mut self, limits: MailboxLimits) {
        self.crowd = limits.crowd();
        self.make_extra().mailbox = Some(limits);
    }

    /// The limits of the mailbox, if those of the host are these.
    pub fn limits(&self, of_host: MailboxLimits) -> MailboxLimits {
        self.extra.as_ref().and_then(|extra| extra.mailbox).unwrap_or(of_host)
    }

    /// All that waited was taken out of the mailbox.
    pub fn emptied(&mut self) {
        self.waiting = 0;
    }

    /// The caller puts the port, which is idle or parked, into a run queue.
    pub fn queue(&mut self) {
        debug_assert!(matches!(self.state, State::Idle | State::Parked), "{:?}", self.state);
        self.state = State::Queued;
    }

    /// The code of a port that nobody runs, with what waits for it: from now on the caller runs it.
    #[inline(always)]
    pub fn begin_run(&mut self) -> Option<Box<dyn Actor<H>>> {
        debug_assert!(matches!(self.state, State::Idle | State::Queued), "{:?}", self.state);
        let (Some(mut actor), Some(mailbox)) = (self.actor.take(), &mut self.mailbox) else { return None };
        if actor.load(mailbox) {
            self.waiting = 0;
        }
        self.state = State::Running;
        Some(actor)
    }

    /// Puts the code back after a run; `left` says that some of what it took is left, `quota` how
    /// much the next run may handle. True if the port has more to do: then it is in state `Queued`,
    /// and the caller puts it into a run queue.
    #[inline]
    pub fn end_run(&mut self, actor: Box<dyn Actor<H>>, quota: u16, left: bool) -> bool {
        debug_assert_eq!(self.state, State::Running);
        let more = left || self.waiting > 0;
        self.actor = Some(actor);
        self.quota = quota;
        self.state = if more { State::Queued } else { State::Idle };
        more
    }

    /// Puts the code back after a run that has sent more than others could take.
    pub fn park(&mut self, actor: Box<dyn Actor<H>>, quota: u16) {
        debug_assert_eq!(self.state, State::Running);
        self.actor = Some(actor);
        self.quota = quota;
        self.state = State::Parked;
    }

    /// From now on a task has the port, which a runner has had.
    pub fn become_task(&mut self) {
        debug_assert_eq!(self.state, State::Running);
        self.state = State::Task;
    }

    /// Another mailbox takes the place of the old one, with this many bytes in it.
    pub fn replace_mailbox(&mut self, mailbox: BoxedMailbox<H>, waiting: usize) {
        self.mailbox = Some(mailbox);
        self.waiting = waiting;
    }

    /// Nothing that comes from now on counts.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// The answer that the port waited for is there: for everybody else it is dead. Gives what has
    /// to be released.
    pub fn close_answered(&mut self) -> Option<Box<Extra<H>>> {
        self.closing = true;
        self.extra.take()
    }

    /// The extra part, made if there was none.
    pub fn make_extra(&mut self) -> &mut Extra<H> {
        self.extra.get_or_insert_default()
    }

    /// The extra part, if there is one.
    pub fn extra_mut(&mut self) -> Option<&mut Extra<H>> {
        self.extra.as_deref_mut()
    }

    /// The mailbox; it is missing only if the port is being taken out.
    #[inline(always)]
    pub fn mailbox(&mut self) -> Option<&mut BoxedMailbox<H>> {
        self.mailbox.as_mut()
    }

    /// The ports that waited for this one to take what it had, if it is not behind any more.
    #[inline(always)]
    pub fn take_blocked(&mut self, of_host: MailboxLimits) -> Vec<PortNo> {
        match &self.extra {
            Some(extra) if extra.holds_up() => self.unblock(of_host),
            _ => Vec::new(),
        }
    }

    #[cold]
    fn unblock(&mut self, of_host: MailboxLimits) -> Vec<PortNo> {
        let behind = self.waiting > self.limits(of_host).high;
        self.extra.as_mut().filter(|_| !behind).map(|extra| extra.unblock()).unwrap_or_default()
    }

    /// Whether the port of this generation is here.
    #[inline]
    pub(crate) fn is_port(&self, generation: u32) -> bool {
        self.generation == generation && self.state != State::Free
    }

    /// Whether the slot is kept for the port of this generation.
    pub(crate) fn is_kept_for(&self, generation: u32) -> bool {
        self.generation == generation && self.state == State::Free
    }

    /// The generation of the port, or of the next one.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// What the port is doing.
    #[inline(always)]
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether nothing that comes later counts.
    #[inline(always)]
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Bytes that wait.
    #[inline(always)]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many items a run may handle.
    #[inline(always)]
    pub fn quota(&self) -> u16 {
        self.quota
    }

    /// Whether the port is to die, and so must run, also if it would have to wait for others.
    pub fn is_doomed(&self) -> bool {
        self.closing || self.extra.as_ref().is_some_and(|extra| extra.kills > 0)
    }

    /// The extra part, if there is one.
    #[inline(always)]
    pub fn extra(&self) -> Option<&Extra<H>> {
        self.extra.as_deref()
    }

    /// The ID of the port, if another node chose its name.
    #[inline]
    pub fn name(&self) -> Option<Arc<PortId>> {
        self.extra.as_ref().and_then(|extra| extra.name.clone())
    }
}
