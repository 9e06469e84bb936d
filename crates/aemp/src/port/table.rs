//! The table of a node's ports: a segmented slab whose slots never move and never go away.
//!
//! A port's number is its slot and the slot's generation, so a send is one index, one lock and one comparison, without a
//! reference count. A slot whose generation would wrap is retired: names are never reused. The crate `aemp-models` tries all
//! interleavings.

use std::sync::Arc;

use aemp_proto::PortId;

use super::actor::Actor;
use super::extra::Extra;
use super::known::{BoxedMailbox, Known};
use super::mailbox::Mailbox;
use crate::sync::{AtomicU32, Mutex, MutexGuard, OnceLock, Ordering};

/// Slots of the first segment; each further one doubles.
pub(super) const FIRST: u32 = 64;
pub(super) const SEGMENTS: usize = 26;

/// What a port is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// There is no port: the slot is free, or kept for another one.
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
pub(crate) struct Cell {
    pub(crate) generation: u32,
    pub(crate) state: State,
    /// A kill is queued: nothing that comes later counts.
    pub(crate) closing: bool,
    /// How many items a run may handle, so that it takes about one slice.
    pub(crate) quota: u16,
    /// Octets that wait in the mailbox; 0 exactly if nothing does.
    pub(crate) waiting: usize,
    pub(crate) mailbox: Option<BoxedMailbox>,
    /// The code; a runner has it while it runs.
    pub(crate) actor: Option<Box<dyn Actor>>,
    /// What few ports have.
    pub(crate) extra: Option<Box<Extra>>,
}

/// What follows for a port when something was added to its mailbox.
pub(crate) enum Added {
    /// Whoever runs it will see.
    Nothing,
    /// It is in state `Queued` now, and the caller puts it into a run queue.
    Schedule,
    /// It is crowded, or parked, or no runner's business.
    LookCloser,
}

impl Cell {
    const fn free() -> Cell {
        Cell {
            generation: 0,
            state: State::Free,
            closing: false,
            quota: 8,
            waiting: 0,
            mailbox: None,
            actor: None,
            extra: None,
        }
    }

    pub(crate) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Octets were added to the mailbox; above `crowd` the port is crowded.
    #[inline]
    pub(crate) fn added(&mut self, octets: usize, crowd: usize) -> Added {
        self.waiting += octets;
        let crowded = self.waiting > crowd;
        match self.state {
            State::Running | State::Queued if !crowded => Added::Nothing,
            State::Idle if !crowded => {
                self.state = State::Queued;
                Added::Schedule
            }
            _ => Added::LookCloser,
        }
    }

    /// The code of a port that nobody runs, with what waits for it: from now on the caller runs it.
    #[inline(always)]
    pub(crate) fn begin_run(&mut self) -> Option<Box<dyn Actor>> {
        let (Some(mut actor), Some(mailbox)) = (self.actor.take(), &mut self.mailbox) else { return None };
        if actor.load(mailbox) {
            self.waiting = 0;
        }
        self.state = State::Running;
        Some(actor)
    }

    /// Puts the code back after a run; `left` says that some of what it took is left. True if the port has more to do: then it is in
    /// state `Queued`, and the caller puts it into a run queue.
    #[inline]
    pub(crate) fn end_run(&mut self, actor: Box<dyn Actor>, left: bool) -> bool {
        let more = left || self.waiting > 0;
        self.actor = Some(actor);
        self.state = if more { State::Queued } else { State::Idle };
        more
    }

    /// Whether the port is to die, and so must run, whoever it would have to wait for.
    pub(crate) fn is_doomed(&self) -> bool {
        self.closing || self.extra.as_ref().is_some_and(|extra| extra.kills > 0)
    }

    /// The ID of the port, if another node chose its name.
    #[inline]
    pub(crate) fn name(&self) -> Option<Arc<PortId>> {
        self.extra.as_ref().and_then(|extra| extra.name.clone())
    }

    /// The ports that waited for this one to take what it had, if no more than `high` octets are left.
    #[inline]
    pub(crate) fn take_blocked(&mut self, high: usize) -> Vec<u64> {
        match &mut self.extra {
            Some(extra) if extra.holds_up() && self.waiting <= high => extra.unblock(),
            _ => Vec::new(),
        }
    }
}

/// All ports of a node.
pub(crate) struct Table {
    segments: [OnceLock<Box<[Mutex<Cell>]>>; SEGMENTS],
    used: AtomicU32,
    free: Mutex<Vec<u32>>,
}

impl Table {
    pub(crate) fn new() -> Table {
        Table {
            segments: [const { OnceLock::new() }; SEGMENTS],
            used: AtomicU32::new(0),
            free: Mutex::new(Vec::new()),
        }
    }

    /// Puts a port into a slot and gives its number.
    pub(crate) fn insert(
        &self,
        state: State,
        mailbox: BoxedMailbox,
        actor: Option<Box<dyn Actor>>,
        extra: Option<Box<Extra>>,
    ) -> u64 {
        let reused = self.free.lock().pop();
        let index = reused.unwrap_or_else(|| self.used.fetch_add(1, Ordering::Relaxed));
        let mut cell = self.slot(index).lock();
        cell.state = state;
        cell.closing = false;
        cell.quota = 8;
        cell.waiting = 0;
        cell.mailbox = Some(mailbox);
        cell.actor = actor;
        cell.extra = extra;
        number(index, cell.generation)
    }

    /// The port with this number, locked; `None` if there is none (any more).
    #[inline]
    pub(crate) fn get(&self, number: u64) -> Option<MutexGuard<'_, Cell>> {
        self.seat(number)?.lock()
    }

    /// Whether the port has ended, or takes nothing any more. Never waits: "no" if somebody else is at it right now.
    pub(crate) fn is_over(&self, number: u64) -> bool {
        let Some(seat) = self.seat(number) else { return true };
        let Some(cell) = seat.cell.try_lock() else { return false };
        cell.generation != seat.generation || cell.state == State::Free || cell.closing
    }

    /// Slots that were ever used.
    #[cfg(test)]
    pub(crate) fn slots(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether somebody is at the port right now.
    #[cfg(test)]
    pub(crate) fn is_locked(&self, number: u64) -> bool {
        self.seat(number).is_some_and(|seat| seat.cell.is_locked())
    }

    /// Where the port with this number is or was, to be locked more than once.
    #[inline]
    pub(crate) fn seat(&self, number: u64) -> Option<Seat<'_>> {
        let (index, generation) = split(number)?;
        let (segment, offset) = place(index);
        let cell = self.segments.get(segment)?.get()?.get(offset)?;
        Some(Seat { cell, generation })
    }

    /// Takes a port out: what it had, to be dropped when no lock is held. `last` sees it before anybody can see that it is gone.
    pub(crate) fn remove(&self, number: u64, last: impl FnOnce(&Cell)) -> Option<Removed> {
        let cell = self.get(number)?;
        last(&cell);
        Some(self.take_out(number, cell))
    }

    /// As [`Table::remove`], for a port that is locked already.
    pub(crate) fn take_out(&self, number: u64, mut cell: MutexGuard<'_, Cell>) -> Removed {
        let removed =
            Removed { mailbox: cell.mailbox.take(), actor: cell.actor.take(), extra: cell.extra.take() };
        cell.state = State::Free;
        let generation = cell.generation.checked_add(1);
        if let Some(next) = generation {
            cell.generation = next;
        }
        drop(cell);
        if let (Some(_), Some((index, _))) = (generation, split(number)) {
            self.free.lock().push(index);
        }
        removed
    }

    /// Ends a port that has nothing but an empty mailbox, and keeps its slot with that for [`Table::begin`]; gives the number that the
    /// next port there will have. Until then there is no port.
    pub(crate) fn keep(&self, number: u64, mut cell: MutexGuard<'_, Cell>) -> Option<u64> {
        cell.state = State::Free;
        let (index, generation) = split(number)?;
        let Some(next) = generation.checked_add(1) else {
            cell.mailbox = None;
            return None;
        };
        cell.generation = next;
        Some(self::number(index, next))
    }

    /// Opens the port with this number, which [`Table::keep`] gave, in state `Unscheduled`, with the mailbox that was kept. If that
    /// does not suit, the slot is free for all, and the answer false.
    pub(crate) fn begin(&self, number: u64, suits: impl FnOnce(&mut Known<dyn Mailbox>) -> bool) -> bool {
        let Some(seat) = self.seat(number) else { return false };
        let mut cell = seat.cell.lock();
        debug_assert!(
            cell.generation == seat.generation && cell.state == State::Free && cell.extra.is_none()
        );
        if cell.mailbox.as_mut().is_some_and(|mailbox| suits(mailbox)) {
            (cell.state, cell.closing) = (State::Unscheduled, false);
            cell.waiting = 0;
            return true;
        }
        drop(self.take_out(number, cell));
        false
    }

    /// Gives the slot of this number, which [`Table::keep`] gave, to all.
    pub(crate) fn give_back(&self, number: u64) {
        if let Some(seat) = self.seat(number) {
            drop(self.take_out(number, seat.cell.lock()));
        }
    }

    /// The numbers of all ports there are now.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let slots = (0..self.used.load(Ordering::Relaxed)).map(|index| (index, self.slot(index).lock()));
        slots
            .filter(|(_, cell)| cell.state != State::Free)
            .map(|(index, cell)| number(index, cell.generation))
            .collect()
    }

    fn slot(&self, index: u32) -> &Mutex<Cell> {
        let (segment, offset) = place(index);
        let slots = self.segments[segment].get_or_init(|| {
            let len = (FIRST as usize) << segment;
            (0..len).map(|_| Mutex::new(Cell::free())).collect()
        });
        &slots[offset]
    }
}

/// The slot of one port.
#[derive(Clone, Copy)]
pub(crate) struct Seat<'a> {
    cell: &'a Mutex<Cell>,
    generation: u32,
}

impl<'a> Seat<'a> {
    /// The port, unless it is gone.
    #[inline]
    pub(crate) fn lock(self) -> Option<MutexGuard<'a, Cell>> {
        let cell = self.cell.lock();
        (cell.generation == self.generation && cell.state != State::Free).then_some(cell)
    }
}

/// What a removed port leaves.
pub(crate) struct Removed {
    pub(crate) mailbox: Option<BoxedMailbox>,
    pub(crate) actor: Option<Box<dyn Actor>>,
    pub(crate) extra: Option<Box<Extra>>,
}

/// Whether two ports have, or had, the same slot, one after the other.
#[inline]
pub(crate) fn same_slot(one: u64, other: u64) -> bool {
    one.wrapping_sub(1) as u32 == other.wrapping_sub(1) as u32
}

fn number(index: u32, generation: u32) -> u64 {
    (u64::from(generation) << 32 | u64::from(index)) + 1
}

#[inline]
fn split(number: u64) -> Option<(u32, u32)> {
    let number = number.checked_sub(1)?;
    Some((number as u32, (number >> 32) as u32))
}

/// Segment `s` holds the slots from `FIRST * (2^s - 1)` on.
#[inline]
pub(super) fn place(index: u32) -> (usize, usize) {
    let shifted = u64::from(index) + u64::from(FIRST);
    let segment = shifted.ilog2() - FIRST.ilog2();
    (segment as usize, (shifted - (u64::from(FIRST) << segment)) as usize)
}
