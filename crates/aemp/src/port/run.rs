//! One run of one port: take what waits, handle a batch of it, decide what comes next.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use aemp_proto::Reason;

use super::Context;
use super::actor::Actor;
use super::context::{StartTask, Successor};
use super::mailbox::{Mailbox, TaskQueue};
use super::table::State;
use crate::node::{Node, Pressure};

/// How long a port may run before another gets its turn.
const SLICE: Duration = Duration::from_micros(50);

/// The most items in one run, however cheap they were.
const QUOTA_MAX: usize = 256;

/// A run that takes longer than this blocks others, and is reported.
const BLOCKED: Duration = Duration::from_millis(100);

/// Whether a port wants to run again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Something waits already.
    Again,
    /// Nothing to do, or somebody else will schedule it.
    Rest,
}

/// Runs a port that stood in a run queue. `now` is the time, and moves on: reading the clock costs as much as a message.
pub(crate) fn run_port(node: &Node, number: u64, now: &mut Instant) -> Next {
    let (mut actor, quota, blocked, name) = {
        let Some(mut cell) = node.table().get(number) else { return Next::Rest };
        if cell.state != State::Queued {
            return Next::Rest;
        }
        let cell = &mut *cell;
        let (Some(mut actor), Some(mailbox)) = (cell.actor.take(), &mut cell.mailbox) else {
            return Next::Rest;
        };
        actor.load(mailbox.as_mut());
        cell.state = State::Running;
        let name = cell.extra.as_ref().and_then(|extra| extra.name.clone());
        (actor, usize::from(cell.quota), cell.take_blocked(), name)
    };
    node.unpark(blocked);
    let mut cx = Context::new(node, number, name);
    let started = *now;
    let outcome = catch_unwind(AssertUnwindSafe(|| actor.run(&mut cx, quota)));
    *now = Instant::now();
    let took = *now - started;
    if took > BLOCKED {
        node.report_blocking(number, took);
    }
    let handled = match outcome {
        Ok(handled) => handled,
        Err(panic) => {
            end(node, number, Some(actor), Reason::died(panic_text(&*panic)));
            return Next::Rest;
        }
    };
    let (reason, successor, pressure) = cx.finish();
    if let Some(reason) = reason {
        end(node, number, Some(actor), reason);
        return Next::Rest;
    }
    let (actor, task) = match successor {
        None => (Some(actor), None),
        Some(successor) => match succeed(node, number, actor, successor) {
            Ok(new) => new,
            Err(killed) => {
                node.end_port(number, killed);
                return Next::Rest;
            }
        },
    };
    let next = put_back(node, number, actor, quota_after(quota, handled, took), pressure);
    if let Some(start) = task {
        start(node, number);
    }
    next
}

/// The code of a port that has become another, or what starts its task.
type Became = (Option<Box<dyn Actor>>, Option<StartTask>);

/// The port becomes another: what is left for it moves over, in order. An async port that was killed already ends at once, as
/// any other would: its task may look at its mailbox much later, or never.
fn succeed(
    node: &Node,
    number: u64,
    mut old: Box<dyn Actor>,
    successor: Successor,
) -> Result<Became, Reason> {
    let (mut mailbox, actor, task): (Box<dyn Mailbox>, _, _) = match successor {
        Successor::Callback(mailbox, actor) => (mailbox, Some(actor), None),
        Successor::Task(start) => (Box::new(TaskQueue::default()), None, Some(start)),
    };
    old.hand_over(mailbox.as_mut());
    if let Some(mut cell) = node.table().get(number) {
        if let Some(waiting) = &mut cell.mailbox
            && old.load(waiting.as_mut())
        {
            old.hand_over(mailbox.as_mut());
        }
        if task.is_some() {
            cell.state = State::Unscheduled;
            let tasks = mailbox.as_any().downcast_mut::<TaskQueue>();
            if let Some(reason) = tasks.and_then(|tasks| tasks.queue.kill()) {
                return Err(reason);
            }
        }
        cell.mailbox = Some(mailbox);
    }
    Ok((actor, task))
}

fn put_back(
    node: &Node,
    number: u64,
    actor: Option<Box<dyn Actor>>,
    quota: u16,
    pressure: Option<Pressure>,
) -> Next {
    let Some(mut actor) = actor else { return Next::Rest };
    let Some(mut guard) = node.table().get(number) else { return Next::Rest };
    let cell = &mut *guard;
    let Some(mailbox) = &mut cell.mailbox else { return Next::Rest };
    // A port that is behind itself is never parked: so of any ring of ports at least one goes on. Nor is one that is to die.
    let parks = !cell.closing && mailbox.octets() < node.limits().mailbox_high;
    let pressure = pressure.filter(|_| parks);
    let more = actor.load(mailbox.as_mut());
    cell.actor = Some(actor);
    cell.quota = quota;
    let blocked = cell.take_blocked();
    cell.state = match (&pressure, more) {
        (Some(_), _) => State::Parked,
        (None, true) => State::Queued,
        (None, false) => State::Idle,
    };
    drop(guard);
    node.unpark(blocked);
    match pressure {
        Some(pressure) => {
            node.park(number, pressure);
            Next::Rest
        }
        None if more => Next::Again,
        None => Next::Rest,
    }
}

/// The quota with which a run of this port would take one slice.
fn quota_after(quota: usize, handled: usize, took: Duration) -> u16 {
    if handled == 0 {
        return u16::try_from(quota).unwrap_or(1);
    }
    let each = took.as_nanos() / handled as u128;
    let fits = SLICE.as_nanos().checked_div(each).unwrap_or(QUOTA_MAX as u128);
    // Grows by doubling, shrinks at once.
    let next = fits.clamp(1, QUOTA_MAX as u128).min(quota as u128 * 2);
    u16::try_from(next).unwrap_or(1)
}

/// Ends a port whose actor a runner has; its code may panic once more while it is dropped.
fn end(node: &Node, number: u64, actor: Option<Box<dyn Actor>>, reason: Reason) {
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(actor)));
    if dropped.is_err() {
        tracing::warn!(port = %node.port_id(number), "the state of a dying port panicked while it was dropped");
    }
    node.end_port(number, reason);
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("panic without a text")
}

/// A future whose panic is a result: what it said.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(future);
    poll_fn(|task| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(task))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic_text(&*panic).into())),
    })
    .await
}
