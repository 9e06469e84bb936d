//! What a port is told beside messages: a kill, code to run, a monitor that has fired.

use aemp_proto::Reason;

use super::deliver::delivered;
use super::exit::end_port;
use super::extra::Child;
use super::host::Host;
use super::mailbox::{Signal, TaskQueue};
use super::monitor::Notification;
use super::port_no::PortNo;
use super::slot::State;
use super::wake::wake;

/// What became of a signal.
enum Signalled<H: Host> {
    /// It waits in the mailbox.
    Queued,
    /// A kill for which the port need not run: the caller ends it.
    Ends(Reason),
    /// The port has ended, or nothing counts any more.
    Refused(Signal<H>),
}

/// Puts something other than a message into a mailbox. A kill closes it: nothing later counts.
pub fn signal<H: Host>(host: &H, number: PortNo, signal: Signal<H>) {
    if let Signalled::Ends(reason) = queue(host, number, signal) {
        end_port(host, number, reason);
    }
}

/// Brings a monitor that has fired to its port. The thread may hold locks, and must not drop what
/// belongs to the monitor.
pub fn notify<H: Host>(host: &H, number: PortNo, notification: Notification<H>) {
    if let Signalled::Refused(signal) = queue(host, number, Signal::Notification(notification))
        && let Some(signal) = keep_until_end(host, number, signal)
    {
        host.ports().scheduler.call(Box::new(move |_| drop(signal)));
    }
}

/// What comes too late for a port that is to die ends with it: until then the gate of a lost port
/// stays closed for what this one still sends, for it does not hear of the loss. Gives the signal
/// back if there is no such port. Who waits for an answer sends nothing.
fn keep_until_end<H: Host>(host: &H, number: PortNo, signal: Signal<H>) -> Option<Signal<H>> {
    let Some(mut cell) = host.ports().table.get(number) else { return Some(signal) };
    if !cell.is_closing() || cell.mailbox().is_none_or(|mailbox| mailbox.wants_reasons()) {
        return Some(signal);
    }
    cell.make_extra().children.push(Child::Guard(Box::new(signal)));
    None
}

/// Kills a port from a thread that must not run code of users, such as the drop of what the port
/// has: it may hold a lock, or a connection waits for it.
pub fn kill_from_afar<H: Host>(host: &H, number: PortNo, reason: Reason) {
    if let Signalled::Ends(reason) = queue(host, number, Signal::Kill(reason)) {
        host.ports().scheduler.call(Box::new(move |host| end_port(host, number, reason)));
    }
}

fn queue<H: Host>(host: &H, number: PortNo, signal: Signal<H>) -> Signalled<H> {
    let Some(mut cell) = host.ports().table.get(number) else { return Signalled::Refused(signal) };
    if cell.is_closing() {
        return Signalled::Refused(signal);
    }
    if let Signal::Kill(reason) = &signal {
        cell.close();
        // Nothing waits in an idle port; a caller, who waits for an answer, looks by itself.
        let tells = cell.mailbox().is_some_and(|mailbox| mailbox.wants_reasons());
        if matches!(cell.state(), State::Idle | State::Unscheduled) && !tells {
            return Signalled::Ends(reason.clone());
        }
    }
    let kills = signal.kills();
    let Some(mailbox) = cell.mailbox() else { return Signalled::Refused(signal) };
    let bytes = mailbox.signal(signal);
    let mut task = None;
    if kills && let Some(tasks) = mailbox.downcast_mut::<TaskQueue<H>>() {
        task = tasks.kills.task();
    } else if kills {
        cell.make_extra().kills += 1;
    }
    delivered(host, number, cell, bytes);
    task.into_iter().for_each(wake);
    Signalled::Queued
}

/// Tells a call that the called port died. False if it does not wait any more.
pub(crate) fn tell_caller<H: Host>(host: &H, caller: PortNo, reason: &Reason) -> bool {
    let Some(mut cell) = host.ports().table.get(caller) else { return false };
    if cell.is_closing() {
        return false;
    }
    let Some(mailbox) = cell.mailbox() else { return false };
    let bytes = mailbox.signal(Signal::Kill(reason.clone()));
    delivered(host, caller, cell, bytes);
    true
}

/// Kills an async port normally. False if it is another port.
pub fn kill_task<H: Host>(host: &H, number: PortNo) -> bool {
    let is_task = host.ports().table.get(number).is_some_and(|cell| cell.state() == State::Task);
    if is_task {
        signal(host, number, Signal::Kill(Reason::NORMAL));
    }
    is_task
}

/// A monitor that kills its port, or was withdrawn, has left the mailbox.
pub(crate) fn kill_left_mailbox<H: Host>(host: &H, number: PortNo) {
    if let Some(mut cell) = host.ports().table.get(number) {
        let extra = cell.make_extra();
        extra.kills = extra.kills.saturating_sub(1);
    }
}
