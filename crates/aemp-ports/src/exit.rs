//! How ports end, and what ends with them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use aemp_proto::{PortId, Reason};

use super::extra::{Child, Extra};
use super::host::Host;
use super::port_no::PortNo;
use super::pressure::unpark;
use super::run::panic_text;
use super::signal::tell_caller;
use super::slot::Slot;

/// Ends a port: everything that belongs to it goes, who watches it is told.
pub fn end_port<H: Host>(host: &H, number: PortNo, reason: Reason) {
    let last = |cell: &Slot<H>| {
        if let Some(name) = cell.name() {
            host.ends_named(number, &name, cell.extra().and_then(|extra| extra.share.as_ref()), &reason);
        }
    };
    let Some(removed) = host.ports().table.remove(number, last) else { return };
    if !reason.is_normal() {
        host.died(number, &reason);
    }
    let code = AssertUnwindSafe(|| drop((removed.actor, removed.mailbox)));
    if let Err(panic) = catch_unwind(code) {
        let port = host.own_port(number);
        tracing::warn!(%port, text = panic_text(&*panic), "the state of a dying port panicked");
    }
    match removed.extra {
        Some(extra) => release(host, number, *extra, &reason),
        None if reason.is_normal() => {}
        None => host.died_alone(&host.own_port(number), false, &reason),
    }
}

/// Lets go of what a port has had beside mailbox and code, and tells who watches it.
pub(crate) fn release<H: Host>(host: &H, number: PortNo, mut extra: Extra<H>, reason: &Reason) {
    let blocked = extra.unblock();
    let Extra { watchers, children, name, share, .. } = extra;
    // Before anybody is told: who is may make another port.
    let counted = share.is_some();
    drop(share);
    let named = name.is_some();
    let id = name.map_or_else(|| host.own_port(number), |name| PortId::clone(&name));
    if named {
        host.forget_name(&id);
    }
    for child in children {
        end_child(host, child);
    }
    let unseen = watchers.is_empty();
    let called = watchers.callers.into_numbers().filter(|caller| tell_caller(host, *caller, reason)).count();
    if unseen && called == 0 && !reason.is_normal() {
        host.died_alone(&id, counted, reason);
    }
    for monitor in watchers.local.into_values() {
        monitor.fire(host, reason.clone());
    }
    for watcher in watchers.remote {
        host.exited((number, &id), watcher, reason);
    }
    unpark(host, blocked);
}

/// Gives a port something that ends with it; at once if it has ended.
pub fn adopt<H: Host>(host: &H, number: PortNo, child: Child<H>) {
    match host.ports().table.get(number) {
        Some(mut cell) => cell.make_extra().adopt(child),
        None => end_child(host, child),
    }
}

fn end_child<H: Host>(host: &H, child: Child<H>) {
    match child {
        Child::Task(task) => task.abort(),
        Child::Guard(guard) => drop_caught(|| drop(guard)),
        Child::Monitor(monitor) => drop_caught(|| monitor.withdraw(host)),
    }
}

/// Drops what may be code of users, which may panic.
fn drop_caught(code: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(code)) {
        tracing::error!(text = panic_text(&*panic), "a monitor panicked while it was dropped");
    }
}
