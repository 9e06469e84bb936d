//! A port that several threads send to and run: its slot in the table, its mailbox, the run queue,
//! and a runner that sleeps.

use std::any::Any;
use std::collections::VecDeque;
use std::mem;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread;

use super::sleepers::Sleepers;
use super::slot::{Added, State};
use super::table::Table;
use crate::check;
use crate::mailbox_limits::MailboxLimits;
use crate::port_no::PortNo;
use crate::stand_ins::actor::Actor;
use crate::stand_ins::host::Model;
use crate::stand_ins::known::Known;
use crate::stand_ins::mailbox::Mailbox;
use crate::sync::Mutex;

/// A mailbox of numbers.
#[derive(Default)]
struct Numbers(Vec<u32>);

impl Mailbox<Model> for Numbers {
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// Code that has a name, and what it has loaded.
struct Named(char, Vec<u32>);

impl Actor<Model> for Named {
    fn load(&mut self, mailbox: &mut Known<dyn Mailbox<Model>>) -> bool {
        let Some(numbers) = mailbox.downcast_mut::<Numbers>() else { return false };
        self.1 = mem::take(&mut numbers.0);
        true
    }

    fn handle(&mut self) -> (char, Vec<u32>) {
        (self.0, mem::take(&mut self.1))
    }
}

/// As much of a node as a port needs to be run.
struct Node {
    table: Table<Model>,
    queue: Mutex<VecDeque<PortNo>>,
    sleepers: Sleepers,
    bell: Notify,
    /// Which port has handled what.
    handled: Mutex<Vec<(char, u32)>>,
    /// How many messages there are to be handled.
    all: usize,
    runs: AtomicBool,
}

impl Node {
    fn new(all: usize) -> Node {
        Node {
            table: Table::new(MailboxLimits::NONE),
            queue: Mutex::new(VecDeque::new()),
            sleepers: Sleepers::new(),
            bell: Notify::new(),
            handled: Mutex::new(Vec::new()),
            all,
            runs: AtomicBool::new(false),
        }
    }

    fn open(&self, name: char) -> PortNo {
        let actor = Box::new(Named(name, Vec::new()));
        self.table.insert(State::Idle, Known::boxed(Numbers::default()), Some(actor), None)
    }

    fn send(&self, port: PortNo, n: u32) {
        let Some(mut cell) = self.table.get(port) else { return };
        let Some(mailbox) = cell.mailbox() else { return };
        mailbox.downcast_mut::<Numbers>().expect("its type").0.push(n);
        match cell.added(1) {
            Added::Nothing => {}
            Added::Schedule => {
                drop(cell);
                self.schedule(port);
            }
            Added::LookCloser => unreachable!("it is not crowded"),
        }
    }

    fn schedule(&self, port: PortNo) {
        self.queue.lock().push_back(port);
        if self.sleepers.choose().is_some() {
            self.bell.notify();
        }
    }

    /// Runs a port, if one is queued.
    fn run_one(&self) -> bool {
        let port = self.queue.lock().pop_front();
        let Some(port) = port else { return false };
        let Some(seat) = self.table.seat(port) else { return true };
        let Some(mut cell) = seat.lock() else { return true };
        if cell.state() != State::Queued {
            return true;
        }
        let Some(mut actor) = cell.begin_run() else { return true };
        drop(cell);
        self.handle(&mut *actor);
        let Some(mut cell) = seat.lock() else { return true };
        let more = cell.end_run(actor, 8, false);
        drop(cell);
        if more {
            self.schedule(port);
        }
        true
    }

    fn handle(&self, actor: &mut dyn Actor<Model>) {
        let (name, numbers) = actor.handle();
        assert!(name != 'a' || !self.runs.swap(true, Ordering::Relaxed), "two threads run a port");
        let mut handled = self.handled.lock();
        handled.extend(numbers.into_iter().map(|n| (name, n)));
        let all = handled.len() >= self.all;
        drop(handled);
        if name == 'a' {
            self.runs.store(false, Ordering::Relaxed);
        }
        if all {
            self.bell.notify();
        }
    }

    /// Runs ports until all is handled.
    fn run(&self) {
        loop {
            while self.run_one() {}
            if self.handled.lock().len() >= self.all {
                return;
            }
            self.sleepers.lie_down(0);
            if self.queue.lock().is_empty() {
                self.bell.wait();
            }
            self.sleepers.get_up(0);
        }
    }
}

#[test]
pub(crate) fn what_two_threads_send_is_handled_once_and_in_order() {
    check(3, || {
        let node = Arc::new(Node::new(3));
        let port = node.open('a');
        let other = node.clone();
        let sender = thread::spawn(move || {
            other.send(port, 1);
            other.send(port, 2);
            // It helps, as a thread does that waits for an answer.
            other.run_one();
        });
        node.send(port, 11);
        node.run();
        sender.join().expect("it ends");
        while node.run_one() {}
        let handled: Vec<u32> = node.handled.lock().iter().map(|(_, n)| *n).collect();
        assert_eq!(handled.len(), 3);
        assert!(handled.contains(&11));
        let place = |n| handled.iter().position(|other| *other == n);
        assert!(place(1) < place(2));
    });
}

#[test]
pub(crate) fn nothing_of_a_port_that_has_ended_reaches_the_next_one_in_its_slot() {
    check(3, || {
        let node = Arc::new(Node::new(usize::MAX));
        let first = node.open('a');
        let other = node.clone();
        let sender = thread::spawn(move || {
            other.send(first, 1);
            other.run_one();
            other.send(first, 1);
        });
        assert!(node.table.remove(first, |_| {}).is_some());
        let second = node.open('b');
        assert_ne!(first, second);
        node.send(second, 2);
        sender.join().expect("it ends");
        while node.run_one() {}
        node.send(second, 2);
        while node.run_one() {}
        let handled = node.handled.lock();
        assert!(handled.iter().all(|handled| [('a', 1), ('b', 2)].contains(handled)), "{handled:?}");
        assert_eq!(handled.iter().filter(|(name, _)| *name == 'b').count(), 2);
    });
}
