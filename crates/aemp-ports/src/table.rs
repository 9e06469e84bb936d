//! The table of a node's ports: a segmented slab whose slots never move and never go away.
//!
//! A port's number is its slot and the slot's generation, so a send is one index, one lock and one
//! comparison, without a reference count. A slot whose generation would wrap is retired: names are
//! never reused. The crate `aemp-models` tries all interleavings.

use super::actor::Actor;
use super::extra::Extra;
use super::host::Host;
use super::known::{BoxedMailbox, Known};
use super::mailbox::Mailbox;
use super::mailbox_limits::MailboxLimits;
use super::port_no::PortNo;
use super::slot::{Removed, Slot, State};
use super::sync::{AtomicU32, Mutex, OnceLock, Ordering, SlotGuard, SlotMutex};

/// Slots of the first segment; each further one doubles.
pub(crate) const FIRST: u32 = 64;
pub(crate) const SEGMENTS: usize = 26;

/// Slots that came to exist together.
type Segment<H> = OnceLock<Box<[SlotMutex<Slot<H>>]>>;

/// All ports of a node.
pub struct Table<H: Host> {
    segments: [Segment<H>; SEGMENTS],
    used: AtomicU32,
    free: Mutex<Vec<u32>>,
    limits: MailboxLimits,
}

impl<H: Host> Table<H> {
    /// No ports. Those that come have these limits, unless they get their own.
    pub fn new(limits: MailboxLimits) -> Table<H> {
        Table {
            segments: [const { OnceLock::new() }; SEGMENTS],
            used: AtomicU32::new(0),
            free: Mutex::new(Vec::new()),
            limits,
        }
    }

    /// Puts a port into a slot and gives its number.
    pub fn insert(
        &self,
        state: State,
        mailbox: BoxedMailbox<H>,
        actor: Option<Box<dyn Actor<H>>>,
        extra: Option<Box<Extra<H>>>,
    ) -> PortNo {
        let reused = self.free.lock().pop();
        let index = reused.unwrap_or_else(|| self.used.fetch_add(1, Ordering::Relaxed));
        let generation = self.slot(index).lock().open((state, self.limits.crowd()), mailbox, actor, extra);
        PortNo::of_slot(index, generation)
    }

    /// The port with this number, locked; `None` if nothing is there (any more).
    #[inline]
    pub fn get(&self, number: PortNo) -> Option<SlotGuard<'_, Slot<H>>> {
        self.seat(number)?.lock()
    }

    /// Whether the port has ended, or takes nothing any more. Never waits: "no" if somebody else is
    /// at it right now.
    pub fn is_over(&self, number: PortNo) -> bool {
        let Some(seat) = self.seat(number) else { return true };
        let Some(cell) = seat.cell.try_lock() else { return false };
        !cell.is_port(seat.generation) || cell.is_closing()
    }

    /// Slots that were ever used.
    #[doc(hidden)] // for tests
    pub fn slots(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether somebody is at the port right now.
    #[doc(hidden)] // for tests
    pub fn is_locked(&self, number: PortNo) -> bool {
        self.seat(number).is_some_and(|seat| seat.cell.is_locked())
    }

    /// Where the port with this number is or was, to be locked more than once.
    #[inline]
    pub fn seat(&self, number: PortNo) -> Option<Seat<'_, H>> {
        let (index, generation) = number.slot();
        let (segment, offset) = place(index);
        let cell = self.segments.get(segment)?.get()?.get(offset)?;
        Some(Seat { cell, generation })
    }

    /// Takes a port out: what it had, to be dropped when no lock is held. `last` sees it before
    /// anybody can see that it is gone.
    pub fn remove(&self, number: PortNo, last: impl FnOnce(&Slot<H>)) -> Option<Removed<H>> {
        let cell = self.get(number)?;
        last(&cell);
        Some(self.take_out(number, cell))
    }

    /// As [`Table::remove`], for a port that is locked already.
    pub fn take_out(&self, number: PortNo, mut cell: SlotGuard<'_, Slot<H>>) -> Removed<H> {
        let (removed, reusable) = cell.vacate();
        drop(cell);
        if reusable {
            self.free.lock().push(number.slot().0);
        }
        removed
    }

    /// Ends a port that has nothing but an empty mailbox, and keeps its slot with that for
    /// [`Table::begin`]; gives the number that the next port there will have. Until then there is
    /// no port.
    pub fn keep(&self, number: PortNo, mut cell: SlotGuard<'_, Slot<H>>) -> Option<PortNo> {
        let next = cell.keep()?;
        Some(PortNo::of_slot(number.slot().0, next))
    }

    /// Opens the port with this number, which [`Table::keep`] gave, in state `Unscheduled`, with
    /// the mailbox that was kept. If that does not suit, the slot is free for all, and the answer
    /// false.
    pub fn begin(&self, number: PortNo, suits: impl FnOnce(&mut Known<dyn Mailbox<H>>) -> bool) -> bool {
        let Some(seat) = self.seat(number) else { return false };
        let mut cell = seat.cell.lock();
        debug_assert!(cell.is_kept_for(seat.generation));
        if cell.reopen(suits) {
            return true;
        }
        drop(self.take_out(number, cell));
        false
    }

    /// Gives the slot of this number, which [`Table::keep`] gave, to all.
    pub fn give_back(&self, number: PortNo) {
        if let Some(seat) = self.seat(number) {
            drop(self.take_out(number, seat.cell.lock()));
        }
    }

    /// The numbers of all ports there are now.
    pub fn numbers(&self) -> Vec<PortNo> {
        let slots = (0..self.used.load(Ordering::Relaxed)).map(|index| (index, self.slot(index).lock()));
        slots
            .filter(|(_, cell)| cell.state() != State::Free)
            .map(|(index, cell)| PortNo::of_slot(index, cell.generation()))
            .collect()
    }

    /// Shows each port to `look`, with its number, one after the other: it changes meanwhile.
    pub fn each(&self, mut look: impl FnMut(PortNo, &Slot<H>)) {
        for index in 0..self.used.load(Ordering::Relaxed) {
            let cell = self.slot(index).lock();
            if cell.state() != State::Free {
                look(PortNo::of_slot(index, cell.generation()), &cell);
            }
        }
    }

    fn slot(&self, index: u32) -> &SlotMutex<Slot<H>> {
        let (segment, offset) = place(index);
        let slots = self.segments[segment].get_or_init(|| {
            let len = (FIRST as usize) << segment;
            (0..len).map(|_| SlotMutex::new(Slot::free())).collect()
        });
        &slots[offset]
    }
}

/// The slot of one port.
pub struct Seat<'a, H: Host> {
    cell: &'a SlotMutex<Slot<H>>,
    generation: u32,
}

impl<H: Host> Clone for Seat<'_, H> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<H: Host> Copy for Seat<'_, H> {}

impl<'a, H: Host> Seat<'a, H> {
    /// The port, unless it is gone.
    #[inline]
    pub fn lock(self) -> Option<SlotGuard<'a, Slot<H>>> {
        let cell = self.cell.lock();
        cell.is_port(self.generation).then_some(cell)
    }
}

/// Segment `s` holds the slots from `FIRST * (2^s - 1)` on.
#[inline]
pub(crate) fn place(index: u32) -> (usize, usize) {
    let shifted = u64::from(index) + u64::from(FIRST);
    let segment = shifted.ilog2() - FIRST.ilog2();
    (segment as usize, (shifted - (u64::from(FIRST) << segment)) as usize)
}
