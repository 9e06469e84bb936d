//! Tests of the table. They stand here because `aemp-models` compiles the table itself once more.

use super::known::Known;
use super::mailbox::Queue;
use super::mailbox_limits::MailboxLimits;
use super::port_no::PortNo;
use super::slot::State;
use super::table::*;
use super::test_host::Alone;
use crate::message::Envelope;

const LIMITS: MailboxLimits = MailboxLimits { high: 1 << 10, most: 1 << 20 };

fn insert(table: &Table<Alone>) -> PortNo {
    table.insert(State::Idle, Known::boxed(Queue::<Alone, Envelope>::default()), None, None)
}

#[test]
fn places_are_dense_and_in_order() {
    let mut expected = (0, 0);
    for index in 0..10_000 {
        assert_eq!(place(index), expected);
        expected.1 += 1;
        if expected.1 == (FIRST as usize) << expected.0 {
            expected = (expected.0 + 1, 0);
        }
    }
    assert!(place(u32::MAX - FIRST).0 < SEGMENTS + 1);
}

#[test]
fn a_number_is_never_given_twice() {
    let table = Table::<Alone>::new(LIMITS);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3 {
        let numbers: Vec<PortNo> = (0..200).map(|_| insert(&table)).collect();
        for number in numbers {
            assert!(seen.insert(number));
            assert!(table.get(number).is_some());
            assert!(table.remove(number, |_| {}).is_some());
            assert!(table.get(number).is_none());
            assert!(table.remove(number, |_| {}).is_none());
        }
    }
    assert_eq!(table.slots(), 200);
}

#[test]
fn a_kept_slot_is_no_port_until_it_is_begun_and_then_another_one() {
    let table = Table::<Alone>::new(LIMITS);
    let mut number = insert(&table);
    for _ in 0..10 {
        let cell = table.get(number).expect("it is there");
        let next = table.keep(number, cell).expect("few generations");
        assert!(table.get(number).is_none() && table.get(next).is_none());
        assert!(next != number && number.same_slot(next));
        assert!(!table.numbers().contains(&next));
        // Nobody else gets it.
        assert!(!insert(&table).same_slot(next));
        assert!(table.begin(next, |mailbox| mailbox.downcast_mut::<Queue<Alone, Envelope>>().is_some()));
        assert_eq!(table.get(next).map(|cell| cell.state()), Some(State::Unscheduled));
        number = next;
    }
    let cell = table.get(number).expect("it is there");
    let next = table.keep(number, cell).expect("few generations");
    assert!(!table.begin(next, |_| false));
    // It is free for all, under another name.
    let reused = insert(&table);
    assert!(reused != next && reused.same_slot(next));
}

#[test]
fn numbers_that_were_never_given_name_nothing() {
    let table = Table::<Alone>::new(LIMITS);
    assert_eq!(PortNo::new(0), None);
    assert!(table.get(PortNo::FIRST).is_none());
    assert!(PortNo::new(u64::MAX).is_some_and(|last| table.get(last).is_none()));
}
