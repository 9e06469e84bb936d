//! A broker that is an enemy: it alters, repeats, swaps, loses and forges. It can hold nodes apart;
//! it cannot make them take anything that was not sent, nor let anybody in.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use aemp::{Context, Node};
use aemp_proto::broker::{Chunk, HEADER_LEN};
use support::fake::{Fake, Mischief};
use support::{arrived, builder, check, history, receiver, run, send_from, soon, until};

const COUNT: u64 = 20_000;

/// Where the kind of a chunk stands, and what is a part of a stream.
const KIND: usize = 1;
const PART: u8 = 2;

/// Where the number of the first byte stands.
const OFFSET: usize = 51;

fn has_bytes(message: &[u8]) -> bool {
    Chunk::decode(message).is_ok() && message[KIND] == PART && message.len() > HEADER_LEN
}

async fn two_nodes(mischief: Mischief) -> (Node, Node) {
    let fake = Fake::start(mischief).await;
    let start = |id: &str| builder(id, &fake.address()).start();
    (start("a").await.unwrap(), start("b").await.unwrap())
}

/// All that is sent arrives, in order and once, although the broker does this.
fn changes_nothing(mischief: Mischief) {
    run(async {
        let (a, b) = two_nodes(mischief).await;
        let history = history();
        let port = receiver(&b, &history);
        send_from(&a, &port, COUNT, &history);
        until("the last message", &history, |pieces| arrived(pieces) == COUNT).await;
        check(&history);
        assert_eq!(history.borrow().len(), 1, "nothing was lost");
    });
}

/// The monitor fires, and of each piece no more than a prefix arrives.
fn ends_the_connection(mischief: Mischief) {
    run(async {
        let (a, b) = two_nodes(mischief).await;
        let history = history();
        let port = receiver(&b, &history);
        send_from(&a, &port, u64::MAX, &history);
        until("the fire", &history, |pieces| {
            pieces.first().is_some_and(|piece| piece.reason.is_some() && piece.arrived > 0)
        })
        .await;
        let pieces = history.borrow();
        assert!(pieces.iter().all(|piece| !piece.is_wrong() && piece.arrived <= piece.sent), "{pieces:?}");
    });
}

#[test]
fn an_honest_broker_of_ours_is_good_enough_to_judge_by() {
    changes_nothing(Box::new(|message| vec![message]));
}

#[test]
fn what_comes_twice_is_taken_once() {
    changes_nothing(Box::new(|message| vec![message.clone(), message]));
}

#[test]
fn what_was_delivered_long_ago_is_not_taken_again() {
    let mut old: Vec<Vec<u8>> = Vec::new();
    changes_nothing(Box::new(move |message| {
        old.push(message.clone());
        let again = old[old.len() / 2].clone();
        vec![message, again]
    }));
}

#[test]
fn what_comes_in_another_order_is_put_right() {
    let (mut held, mut count) = (None, 0);
    changes_nothing(Box::new(move |message| {
        count += 1;
        match held.take() {
            Some(before) => vec![message, before],
            None if count % 7 == 0 && has_bytes(&message) => {
                held = Some(message);
                Vec::new()
            }
            None => vec![message],
        }
    }));
}

#[test]
fn what_is_lost_is_sent_again() {
    let mut count = 0;
    changes_nothing(Box::new(move |message| {
        count += 1;
        if count % 29 == 0 { Vec::new() } else { vec![message] }
    }));
}

#[test]
fn what_is_altered_ends_the_connection() {
    let mut count = 0;
    ends_the_connection(Box::new(move |mut message| {
        count += u32::from(has_bytes(&message));
        if count % 60 == 0 && has_bytes(&message) {
            *message.last_mut().unwrap() ^= 1;
        }
        vec![message]
    }));
}

#[test]
fn what_is_forged_ends_the_connection() {
    let mut count = 0;
    ends_the_connection(Box::new(move |message| {
        count += u32::from(has_bytes(&message));
        if count % 60 != 0 || !has_bytes(&message) {
            return vec![message];
        }
        // The next bytes of the stream, as the broker would like them to be: those that it has
        // just seen.
        let mut forged = message.clone();
        let mut offset = [0; 8];
        offset.copy_from_slice(&message[OFFSET..OFFSET + 8]);
        let next = u64::from_be_bytes(offset) + (message.len() - HEADER_LEN) as u64;
        forged[OFFSET..OFFSET + 8].copy_from_slice(&next.to_be_bytes());
        vec![message, forged]
    }));
}

#[test]
fn a_broker_that_takes_encryption_out_of_greetings_keeps_nodes_apart() {
    run(async {
        let (a, b) = two_nodes(Box::new(|mut message| {
            let text = b"tls=1.0";
            if let Some(at) = message.windows(text.len()).position(|window| window == text) {
                message[at..at + 3].copy_from_slice(b"tlx");
            }
            vec![message]
        }))
        .await;
        let port = b.port(|_: &mut Context<'_>, (): ()| {});
        let reason = soon("the fire", a.exited(&port)).await;
        assert!(!reason.is_normal(), "{reason}");
        assert!(a.connected_nodes().is_empty() && b.connected_nodes().is_empty());
    });
}
