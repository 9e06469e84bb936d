//! Ports by themselves: no node, no runtime.

use std::sync::Arc;

use aemp_proto::Reason;
use parking_lot::Mutex;

use super::deliver::deliver;
use super::exit::{adopt, end_port};
use super::extra::Child;
use super::host::Host as _;
use super::known::Known;
use super::mailbox::{Signal, TaskQueue};
use super::mailbox_limits::MailboxLimits;
use super::monitor::{Action, Monitor, PortAction, Telling};
use super::port_no::PortNo;
use super::pressure::limit_mailbox;
use super::signal::signal;
use super::slot::State;
use super::test_host::{Alone, Code};
use crate::message::Envelope;

type Log<T> = Arc<Mutex<Vec<T>>>;

/// Messages that are not handled in one turn.
const MANY: u32 = 5000;

fn alone() -> Alone {
    Alone::new(MailboxLimits { high: 1 << 10, most: 1 << 20 })
}

fn send(host: &Alone, to: PortNo, n: u32) {
    assert!(deliver(host, to, (n,)).is_ok(), "it encodes");
}

fn monitor(host: &Alone, target: PortNo, action: Action<Alone>) -> Arc<Monitor<Alone>> {
    let monitor = Monitor::new(host.next_id(), host.own_port(target), action);
    let mut cell = host.ports().table.get(target).expect("it lives");
    cell.make_extra().watchers.local.insert(monitor.id, monitor.clone());
    monitor
}

#[test]
fn messages_and_signals_take_effect_in_order() {
    let (host, log) = (alone(), Log::default());
    let (seen, seen_by_job) = (log.clone(), log.clone());
    let port = host.open(move |_: &mut Code<'_>, (n,): (u32,)| seen.lock().push(n));
    send(&host, port, 1);
    signal(&host, port, Signal::Job(Box::new(move |_: &mut Code<'_>| seen_by_job.lock().push(2))));
    send(&host, port, 3);
    signal(&host, port, Signal::Kill(Reason::NORMAL));
    send(&host, port, 4);
    host.run();
    assert_eq!(*log.lock(), [1, 2, 3]);
    assert!(!host.lives(port) && host.unseen().is_empty());
}

#[test]
fn a_loss_of_which_a_dying_port_does_not_hear_keeps_its_gate_closed_until_the_port_ends() {
    let (host, log) = (alone(), Log::default());
    let (gate, telling): (Arc<()>, Telling) = (Arc::default(), Arc::new(()));
    let (seen, closed, open) = (log.clone(), Arc::downgrade(&gate), Arc::downgrade(&gate));
    // It notes whether the gate is closed when it could send.
    let port =
        host.open(move |_: &mut Code<'_>, (n,): (u32,)| seen.lock().push((n, closed.upgrade().is_some())));
    let job = PortAction::Job(Box::new(|_: &mut Code<'_>, _: Reason| panic!("it comes too late")));
    let monitor = Monitor::new(host.next_id(), host.own_port(port), Action::Port(port, job));
    // The port takes several turns for them, and others have theirs in between.
    (0..MANY).for_each(|n| send(&host, port, n));
    signal(&host, port, Signal::Kill(Reason::NORMAL));
    monitor.fire_there(&host, Reason::died("lost"), Some(Box::new(gate)), &telling);
    host.run();
    assert_eq!(*log.lock(), (0..MANY).map(|n| (n, true)).collect::<Vec<_>>());
    assert!(!host.lives(port) && open.upgrade().is_none());
    // The port is gone, and a further loss keeps nothing closed.
    let gate: Arc<()> = Arc::default();
    let closed = Arc::downgrade(&gate);
    let job = PortAction::Job(Box::new(|_: &mut Code<'_>, _: Reason| {}));
    let late = Monitor::new(host.next_id(), host.own_port(port), Action::Port(port, job));
    late.fire_there(&host, Reason::died("lost"), Some(Box::new(gate)), &telling);
    host.run();
    assert!(closed.upgrade().is_none());
}

/// Notes whether the port lives, when it is dropped.
struct Note(Alone, PortNo, Log<(&'static str, bool)>, &'static str);

impl Drop for Note {
    fn drop(&mut self) {
        let lives = self.0.lives(self.1);
        self.2.lock().push((self.3, lives));
    }
}

#[test]
fn a_loss_that_lies_behind_the_end_of_a_port_keeps_its_gate_closed_until_the_port_has_ended() {
    for panics in [false, true] {
        let (host, log, telling): (_, _, Telling) = (alone(), Log::default(), Arc::new(()));
        let owned: Arc<Mutex<Option<Note>>> = Arc::default();
        let owns = owned.clone();
        let port = host.open(move |cx: &mut Code<'_>, (n,): (u32,)| {
            let note = owns.lock().take();
            assert!(!panics && n == 1 && note.is_some(), "on purpose");
            // It goes with the code of the port.
            cx.end(Reason::NORMAL);
            *owns.lock() = note;
        });
        *owned.lock() = Some(Note(host.clone(), port, log.clone(), "code"));
        drop(owned);
        let job = PortAction::Job(Box::new(|_: &mut Code<'_>, _: Reason| panic!("it comes too late")));
        let monitor = Monitor::new(host.next_id(), host.own_port(port), Action::Port(port, job));
        send(&host, port, 1);
        let gate = Note(host.clone(), port, log.clone(), "gate");
        monitor.fire_there(&host, Reason::died("lost"), Some(Box::new(gate)), &telling);
        host.run();
        assert_eq!(*log.lock(), [("code", true), ("gate", false)], "{panics}");
    }
}

#[test]
fn a_loss_that_a_port_dies_of_keeps_its_gate_closed_until_the_port_has_ended() {
    let (host, log, telling): (_, _, Telling) = (alone(), Log::default(), Arc::new(()));
    let owned: Arc<Mutex<Option<Note>>> = Arc::default();
    let owns = owned.clone();
    // The note goes with the code of the port.
    let port = host.open(move |_: &mut Code<'_>, (_,): (u32,)| drop(owns.lock()));
    *owned.lock() = Some(Note(host.clone(), port, log.clone(), "code"));
    drop(owned);
    for gate in ["one gate", "another gate"] {
        let link = Action::Port(port, PortAction::Kill);
        let monitor = Monitor::new(host.next_id(), host.own_port(port), link);
        let gate = Note(host.clone(), port, log.clone(), gate);
        monitor.fire_there(&host, Reason::died("lost"), Some(Box::new(gate)), &telling);
    }
    host.run();
    let log = log.lock();
    assert_eq!(log[0], ("code", true));
    assert!(log.len() == 3 && log[1..].iter().all(|(_, lives)| !lives), "{log:?}");
}

#[test]
fn a_death_is_told_once_in_order_and_with_its_reason() {
    let (host, log) = (alone(), Log::default());
    let seen = log.clone();
    let port = host.open(|cx: &mut Code<'_>, (): ()| cx.end(Reason::died("enough")));
    let owner = host.open(move |_: &mut Code<'_>, message: Envelope| {
        seen.lock().push(message.open::<(u32,)>().map(|(n,)| n).unwrap_or_default());
    });
    let told = log.clone();
    let job = PortAction::Job(Box::new(move |_: &mut Code<'_>, reason: Reason| {
        assert_eq!(reason, Reason::died("enough"));
        told.lock().push(2);
    }));
    let fires = monitor(&host, port, Action::Port(owner, job));
    let cancelled = monitor(&host, port, Action::Outside(Box::new(|_, _| unreachable!("it was withdrawn"))));
    cancelled.withdraw(&host);
    send(&host, owner, 1);
    assert!(deliver(&host, port, ()).is_ok());
    host.run();
    send(&host, owner, 3);
    host.run();
    assert_eq!(*log.lock(), [1, 2, 3]);
    assert!(!fires.is_armed() && !host.lives(port));
}

#[test]
fn what_belongs_to_a_port_ends_with_it() {
    let host = alone();
    let [port, other] = [(); 2].map(|()| host.open(|_: &mut Code<'_>, (): ()| {}));
    let guard = Arc::new(());
    adopt(&host, port, Child::Guard(Box::new(guard.clone())));
    let watches = monitor(&host, other, Action::Port(port, PortAction::Kill));
    adopt(&host, port, Child::Monitor(watches.clone()));
    end_port(&host, port, Reason::text("boom", ""));
    assert!(Arc::strong_count(&guard) == 1 && !watches.is_armed());
    assert_eq!(host.unseen(), [Reason::text("boom", "")]);
    // It has ended: what is given to it now ends at once.
    adopt(&host, port, Child::Guard(Box::new(guard.clone())));
    assert_eq!(Arc::strong_count(&guard), 1);
}

#[test]
fn a_port_that_sends_too_much_waits_until_the_receiver_has_drained() {
    let (host, log) = (alone(), Log::default());
    let (received, sent) = (log.clone(), log.clone());
    let slow = host.open(move |_: &mut Code<'_>, (n,): (u32,)| received.lock().push(n));
    let fast = host.open(move |cx: &mut Code<'_>, (n,): (u32,)| {
        sent.lock().push(1000 * n);
        (0..100).for_each(|_| cx.send(slow, (n,)));
    });
    // It gets both at once, and stops after the first.
    send(&host, fast, 1);
    send(&host, fast, 2);
    host.run();
    let log = log.lock();
    assert_eq!((&log[..2], log.len()), (&[1000, 1][..], 202));
}

#[test]
fn a_panic_ends_its_port_alone() {
    let (host, log) = (alone(), Log::default());
    let seen = log.clone();
    let bad = host.open(|_: &mut Code<'_>, (): ()| panic!("on purpose"));
    let good = host.open(move |_: &mut Code<'_>, (n,): (u32,)| seen.lock().push(n));
    assert!(deliver(&host, bad, ()).is_ok());
    send(&host, good, 1);
    host.run();
    assert_eq!((host.lives(bad), host.lives(good)), (false, true));
    assert_eq!((host.unseen(), &log.lock()[..]), (vec![Reason::died("on purpose")], &[1][..]));
}

#[test]
fn a_port_with_a_limit_of_its_own_is_behind_and_full_by_that_one() {
    let (host, log) = (alone(), Log::default());
    let (received, sent) = (log.clone(), log.clone());
    let slow = host.open(move |_: &mut Code<'_>, (n,): (u32,)| received.lock().push(n));
    let fast = host.open(move |cx: &mut Code<'_>, (n,): (u32,)| {
        sent.lock().push(1000 * n);
        cx.send(slow, (n,));
    });
    let limits = MailboxLimits { high: 0, most: 500 };
    limit_mailbox(&host, slow, limits);
    // Below the limits of the host: each message makes the sender wait until it was taken.
    (1..=3).for_each(|n| send(&host, fast, n));
    host.run();
    assert_eq!(*log.lock(), [1000, 1, 2000, 2, 3000, 3]);
    // Who does not wait makes it die of its own limit, and others have that of the host.
    for _ in 0..100 {
        assert!(deliver(&host, slow, (4u32,)).is_ok() && deliver(&host, fast, (4u32,)).is_ok());
    }
    host.run();
    assert!(!host.lives(slow) && host.lives(fast));
    let [reason] = &host.unseen()[..] else { panic!("one port has died: {:?}", host.unseen()) };
    assert_eq!(reason.identifier().as_deref(), Some("mailbox_full"));
    assert!(reason.to_string().contains("500"), "{reason}");
}

#[test]
fn a_port_that_is_not_behind_by_its_new_limits_holds_nobody_up_and_one_that_is_waits_for_nobody() {
    let (host, log) = (alone(), Log::default());
    let sent = log.clone();
    // Nobody takes out what waits for this one.
    let mailbox = Known::boxed(TaskQueue::<Alone>::default());
    let slow = host.ports().table.insert(State::Task, mailbox, None, None);
    limit_mailbox(&host, slow, MailboxLimits { high: 0, most: 1 << 20 });
    let fast = host.open(move |cx: &mut Code<'_>, (n,): (u32,)| {
        sent.lock().push(n);
        cx.send(slow, (n,));
    });
    let handled = || {
        host.run();
        log.lock().len()
    };
    (1..=4).for_each(|n| send(&host, fast, n));
    assert_eq!(handled(), 1, "it waits");
    limit_mailbox(&host, slow, MailboxLimits { high: 1 << 10, most: 1 << 20 });
    assert_eq!(handled(), 4, "it does not have to wait any more");
    limit_mailbox(&host, slow, MailboxLimits { high: 0, most: 1 << 20 });
    (5..=7).for_each(|n| send(&host, fast, n));
    assert_eq!(handled(), 5);
    (8..=9).for_each(|n| send(&host, fast, n));
    assert_eq!(handled(), 5, "it is not behind itself");
    limit_mailbox(&host, fast, MailboxLimits { high: 0, most: 1 << 20 });
    assert!(handled() > 5, "it is behind itself now");
}
