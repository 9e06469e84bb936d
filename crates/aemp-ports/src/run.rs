//! One run of one port: take what waits, handle a batch of it, decide what comes next.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use aemp_proto::{PortId, Reason};

use super::actor::{Actor, Ran};
use super::clock::{Clock, Lap};
use super::effects::{Becomes, Effects, StartTask};
use super::exit::{adopt, end_port};
use super::extra::Child;
use super::host::Host;
use super::known::{BoxedMailbox, Known};
use super::mailbox::{Signal, TaskQueue};
use super::mailbox_limits::MailboxLimits;
use super::port_no::PortNo;
use super::pressure::{Crowded, go_on_if_drained, unpark};
use super::sender;
use super::slot::{Slot, State};
use super::table::Seat;

/// How long a port may run before another gets its turn.
const SLICE: Duration = Duration::from_micros(50);

/// The most items in one run, however cheap they were.
const QUOTA_MAX: u64 = 256;

/// Whether a port wants to run again.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Something waits already.
    Again,
    /// Nothing to do, or somebody else will schedule it.
    Rest,
}

/// What is taken out of a port to run it.
pub struct Taken<H: Host> {
    actor: Box<dyn Actor<H>>,
    /// The port's ID, if another node chose it.
    name: Option<Arc<PortId>>,
    quota: u16,
    /// Ports that waited for this one to take what it had.
    blocked: Vec<PortNo>,
}

impl<H: Host> Taken<H> {
    /// Takes code and messages of a port that is to be run, and not run by anybody yet.
    #[inline(always)]
    pub fn out_of(cell: &mut Slot<H>, limits: MailboxLimits) -> Option<Taken<H>> {
        let actor = cell.begin_run()?;
        Some(Taken { actor, name: cell.name(), quota: cell.quota(), blocked: cell.take_blocked(limits) })
    }
}

/// Runs a port that stood in a run queue.
pub fn run_port<H: Host>(host: &H, number: PortNo, clock: Option<&mut Clock>) -> Next {
    let Some(seat) = host.ports().table.seat(number) else { return Next::Rest };
    let Some(mut cell) = seat.lock() else { return Next::Rest };
    if cell.state() != State::Queued {
        return Next::Rest;
    }
    let Some(taken) = Taken::out_of(&mut cell, host.ports().limits) else { return Next::Rest };
    drop(cell);
    run_taken(host, (number, seat), taken, clock)
}

/// As [`run_port`], for a host without runners: the port handles no more than `most` items, and
/// nobody measures how long that takes. After [`Next::Again`] the host runs it again.
pub fn run_some<H: Host>(host: &H, number: PortNo, most: u16) -> Next {
    let Some(seat) = host.ports().table.seat(number) else { return Next::Rest };
    let Some(mut cell) = seat.lock().filter(|cell| cell.state() == State::Queued) else { return Next::Rest };
    let Some(mut taken) = Taken::out_of(&mut cell, host.ports().limits) else { return Next::Rest };
    drop(cell);
    taken.quota = most;
    run_taken(host, (number, seat), taken, None)
}

/// Runs a port of which code and messages were taken out.
#[inline(always)]
pub fn run_taken<H: Host>(
    host: &H,
    (number, seat): (PortNo, Seat<'_, H>),
    Taken { mut actor, name, quota, blocked }: Taken<H>,
    clock: Option<&mut Clock>,
) -> Next {
    if !blocked.is_empty() {
        unpark(host, blocked);
    }
    let run = AssertUnwindSafe(|| actor.run(host, number, name, quota.into()));
    let outcome = sender::as_port(host.reference(), number, || catch_unwind(run));
    let handled = outcome.as_ref().map_or(1, |ran| ran.progress.handled());
    let lap = clock.and_then(|clock| clock.ran(number, handled));
    let quota = lap.map_or(quota, |lap| measured(host, quota, &lap));
    match outcome {
        Ok(Ran { effects: None, progress }) => put_back(host, seat, actor, quota, progress.left()),
        Ok(Ran { effects: Some(effects), progress }) => {
            apply(host, number, actor, quota, progress.left(), *effects)
        }
        Err(panic) => {
            end(host, number, Some(actor), Reason::died(panic_text(&*panic)));
            Next::Rest
        }
    }
}

/// What follows from a run whose code asked for something: the port ends, becomes another, or has
/// to wait.
#[cold]
fn apply<H: Host>(
    host: &H,
    number: PortNo,
    actor: Box<dyn Actor<H>>,
    quota: u16,
    left: bool,
    mut effects: Effects<H>,
) -> Next {
    if let Some(reason) = effects.reason_of_end() {
        end(host, number, Some(actor), reason);
        return Next::Rest;
    }
    let Effects { becomes, changes, crowded, .. } = effects;
    let (actor, task, left) = match becomes {
        None => (Some(actor), None, left),
        Some(becomes) => match become_another(host, number, actor, (becomes, changes)) {
            Ok((actor, task)) => (actor, task, false),
            Err((actor, mailbox, killed)) => {
                // News of losses may be in it, which the port does not hear of any more.
                adopt(host, number, Child::Guard(Box::new(mailbox)));
                end(host, number, Some(actor), killed);
                return Next::Rest;
            }
        },
    };
    if let Some(start) = task {
        start(host, number, crowded);
        return Next::Rest;
    }
    let (Some(actor), Some(seat)) = (actor, host.ports().table.seat(number)) else { return Next::Rest };
    if crowded.is_empty() {
        put_back(host, seat, actor, quota, left)
    } else {
        park(host, (number, seat), actor, quota, left, crowded)
    }
}

fn measured<H: Host>(host: &H, quota: u16, lap: &Lap<'_>) -> u16 {
    host.measured(lap);
    quota_after(quota, lap.items, lap.took)
}

/// The code of a port that has become another, or what starts its task.
type Became<H> = (Option<Box<dyn Actor<H>>>, Option<StartTask<H>>);

/// A port that ends instead of becoming another: its code, what is left for it, and why.
type Killed<H> = (Box<dyn Actor<H>>, BoxedMailbox<H>, Reason);

/// The port becomes another: what is left for it moves over, in order. An async port that was
/// killed already ends at once, as any other would: its task may look at its mailbox much later, or
/// never.
fn become_another<H: Host>(
    host: &H,
    number: PortNo,
    mut old: Box<dyn Actor<H>>,
    (becomes, changes): (Becomes<H>, Vec<H::Change>),
) -> Result<Became<H>, Killed<H>> {
    let (mut mailbox, actor, task): (BoxedMailbox<H>, _, _) = match becomes {
        Becomes::Callback(mailbox, actor) => (mailbox, Some(actor), None),
        Becomes::OfChanges(make) => {
            let (mailbox, actor) = make(changes);
            (mailbox, Some(actor), None)
        }
        Becomes::Task(start) => (Known::boxed(TaskQueue::<H>::default()), None, Some(start)),
    };
    let mut waiting = old.hand_over(&mut **mailbox);
    let mut taken = 0;
    while let Some(mut cell) = host.ports().table.get(number) {
        // Handing over runs code of the messages' types, so no lock is held. What is taken still
        // counts for the limit: so this ends, however much comes meanwhile.
        if cell.waiting() > taken
            && let Some(older) = cell.mailbox()
            && old.load(older)
        {
            taken = cell.waiting();
            drop(cell);
            waiting += old.hand_over(&mut **mailbox);
            continue;
        }
        if task.is_some() {
            cell.become_task();
            let kills =
                mailbox.downcast_mut::<TaskQueue<H>>().into_iter().flat_map(|tasks| tasks.kills.iter());
            let killed = kills.filter_map(|signal| match signal {
                Signal::Kill(reason) => Some(reason.clone()),
                Signal::Notification(_) | Signal::Job(_) | Signal::Traced(_) => None,
            });
            if let Some(reason) = killed.last() {
                drop(cell);
                return Err((old, mailbox, reason));
            }
        }
        cell.replace_mailbox(mailbox, waiting);
        break;
    }
    Ok((actor, task))
}

/// Puts a port back after a run. `left` says that some of what it took is left.
#[inline]
fn put_back<H: Host>(host: &H, seat: Seat<'_, H>, actor: Box<dyn Actor<H>>, quota: u16, left: bool) -> Next {
    let Some(mut cell) = seat.lock() else { return Next::Rest };
    let more = cell.end_run(actor, quota, left);
    let blocked = cell.take_blocked(host.ports().limits);
    drop(cell);
    if !blocked.is_empty() {
        unpark(host, blocked);
    }
    if more { Next::Again } else { Next::Rest }
}

/// As [`put_back`], for a port that has sent more than these receivers could take.
fn park<H: Host>(
    host: &H,
    (number, seat): (PortNo, Seat<'_, H>),
    actor: Box<dyn Actor<H>>,
    quota: u16,
    left: bool,
    crowded: Crowded<H>,
) -> Next {
    let Some(mut cell) = seat.lock() else { return Next::Rest };
    // A port that is behind itself is never parked: so of any ring of ports at least one goes on.
    // Nor is one that is to die.
    if cell.is_doomed() || cell.waiting() >= cell.limits(host.ports().limits).high {
        drop(cell);
        return put_back(host, seat, actor, quota, left);
    }
    cell.park(actor, quota);
    cell.make_extra().crowded = crowded;
    let blocked = cell.take_blocked(host.ports().limits);
    drop(cell);
    unpark(host, blocked);
    go_on_if_drained(host, number);
    Next::Rest
}

/// The quota with which a run would take one slice, if its items take as long as those that were
/// measured.
fn quota_after(quota: u16, items: usize, took: Duration) -> u16 {
    if items == 0 {
        return quota;
    }
    let each = nanos(took) / items as u64;
    let fits = nanos(SLICE).checked_div(each).unwrap_or(QUOTA_MAX);
    // Grows by doubling, shrinks at once.
    let next = fits.clamp(1, QUOTA_MAX).min(u64::from(quota) * 2);
    u16::try_from(next).unwrap_or(1)
}

/// No run takes centuries.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Ends a port whose actor a runner has; its code may panic once more while it is dropped.
fn end<H: Host>(host: &H, number: PortNo, mut actor: Option<Box<dyn Actor<H>>>, reason: Reason) {
    if let Some(rest) = actor.as_mut().and_then(|actor| actor.take_rest()) {
        adopt(host, number, Child::Guard(rest));
    }
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(actor)));
    if dropped.is_err() {
        tracing::warn!(port = %host.ports().id_of(host, number), "the state of a dying port panicked while it was dropped");
    }
    end_port(host, number, reason);
}

/// What a panic said.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("panic without a text")
}
