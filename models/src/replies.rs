//! The answer to a call, and the next call in the same place of the table.

use std::any::Any;
use std::sync::Arc;
use std::task::Waker;

use loom::sync::Arc as LoomArc;
use loom::thread;

use super::reply_slot::ReplySlot;
use super::slot::State;
use super::table::Table;
use crate::check;
use crate::mailbox_limits::MailboxLimits;
use crate::port_no::PortNo;
use crate::stand_ins::Bell;
use crate::stand_ins::host::Model;
use crate::stand_ins::known::Known;
use crate::stand_ins::mailbox::Mailbox;

/// A mailbox for one answer.
struct Answer(ReplySlot<u32>);

impl Mailbox<Model> for Answer {
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// Answers a call, unless it has its answer.
fn answer(table: &Table<Model>, port: PortNo, n: u32) {
    let Some(mut cell) = table.get(port) else { return };
    if cell.is_closing() {
        return;
    }
    let mailbox = cell.mailbox().and_then(|mailbox| mailbox.downcast_mut::<Answer>()).expect("its type");
    mailbox.0.put(n);
    let waiting = mailbox.0.take_waiting();
    cell.close();
    drop(cell);
    waiting.into_iter().for_each(Waker::wake);
}

/// Waits for the answer, and keeps the place for the next call: gives both.
fn wait(table: &Table<Model>, port: PortNo, bell: &Arc<Bell>) -> (u32, PortNo) {
    loop {
        let mut cell = table.get(port).expect("only this thread ends it");
        let mailbox = cell.mailbox().and_then(|mailbox| mailbox.downcast_mut::<Answer>()).expect("its type");
        if let Some(answer) = mailbox.0.take_or_wait(&bell.waker()) {
            return (answer, table.keep(port, cell).expect("few generations"));
        }
        drop(cell);
        bell.wait();
    }
}

#[test]
pub(crate) fn a_late_answer_does_not_reach_the_next_call() {
    check(3, || {
        let table = LoomArc::new(Table::<Model>::new(MailboxLimits::NONE));
        let bell = Bell::new();
        let first = table.insert(State::Unscheduled, Known::boxed(Answer(ReplySlot::new())), None, None);
        let other = table.clone();
        let twice = thread::spawn(move || {
            answer(&other, first, 1);
            answer(&other, first, 1);
        });
        let (answered, second) = wait(&table, first, &bell);
        assert_eq!(answered, 1);
        assert!(table.begin(second, |mailbox| mailbox.downcast_mut::<Answer>().is_some()));
        let other = table.clone();
        let once = thread::spawn(move || answer(&other, second, 2));
        assert_eq!(wait(&table, second, &bell).0, 2);
        twice.join().expect("it ends");
        once.join().expect("it ends");
    });
}
