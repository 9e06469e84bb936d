//! Streams over a broker: through a broker that loses, repeats, reorders and cuts.

#[path = "support/broker_checks.rs"]
mod checks;

use std::time::Duration;

use aemp_proto::NodeId;
use aemp_proto::broker::{Chunk, EndReason, IN_FLIGHT_MAX, Session, Stream, StreamLimits};
use checks::{LIMITS, World};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_read_is_what_was_written_or_the_stream_ends(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        checks::lossy(&bytes);
    }

    /// Chunks are lost, repeated and reordered for less than the timeout; then everything arrives.
    #[test]
    fn losses_are_repaired(
        sizes in prop::collection::vec(1..9000_usize, 1..20),
        seed in any::<u64>(),
        loss in 0..=100_u64,
    ) {
        let mut world = World::new();
        let mut random = seed | 1;
        let mut draw = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random >> 11
        };
        for round in 0..140 {
            for at in 0..2 {
                if let Some(size) = sizes.get(round) {
                    world.write(at, *size);
                }
                while !world.queues[at].is_empty() {
                    match draw() % 100 {
                        chance if chance < loss => world.lose(at, 0),
                        chance => world.deliver(at, draw() as usize % 3, chance > 95, 0),
                    }
                }
                world.read(at, 20_000);
            }
            world.pass(Duration::from_millis(draw() % 200));
        }
        world.heal();
        world.assert_complete();
    }

    #[test]
    fn nothing_that_a_broker_forges_makes_an_end_panic_or_keep_much(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        checks::forged(&bytes);
    }
}

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn node() -> NodeId {
    NodeId::new("n").expect("a node ID")
}

/// Two ends that know each other, with nothing on its way.
fn established() -> World {
    let mut world = World::new();
    world.deliver(1, 0, false, 0);
    world.deliver(0, 0, false, 0);
    world.pass(at(10));
    world.queues.iter_mut().for_each(Vec::clear);
    world
}

fn ended(world: &World, at: usize) -> Option<EndReason> {
    world.ends[at].as_ref().and_then(|end| end.stream.ended().cloned())
}

#[test]
fn a_stream_that_nobody_answers_for_ends() {
    let mut stream = Stream::open(LIMITS, Session::new(1), &node(), at(0));
    let mut asked = 0;
    let mut now = at(0);
    while stream.ended().is_none() {
        while stream.poll(now).is_some() {
            asked += 1;
        }
        now = stream.next_timeout().unwrap_or(now);
    }
    assert_eq!(stream.ended(), Some(&EndReason::NoAnswer(LIMITS.timeout)));
    assert_eq!(now, LIMITS.timeout);
    assert!((5..20).contains(&asked), "{asked} requests");
}

#[test]
fn a_late_chunk_of_an_earlier_stream_is_not_one_of_this() {
    let mut old = established();
    old.write(0, 100);
    let late = old.queues[1][0].clone();
    // The nodes are the same, the sessions are not.
    let mut new = Stream::accept(LIMITS, Session::new(7), Session::new(8), 1 << 16, at(0));
    new.input(&Chunk::decode(&late).unwrap(), at(1));
    assert!(!new.is_readable() && new.ended().is_none());
    // Nor is one that knows our session, but not that of the other end.
    let mut third = Stream::accept(LIMITS, Session::new(2), Session::new(9), 1 << 16, at(0));
    third.input(&Chunk::decode(&late).unwrap(), at(1));
    assert!(!third.is_readable());
}

#[test]
fn what_is_on_its_way_is_bounded_by_number_and_by_the_window() {
    let mut world = established();
    for _ in 0..10_000 {
        world.write(0, 1);
    }
    assert!(world.queues[1].len() <= IN_FLIGHT_MAX);
    world.write(0, 1 << 20);
    assert!(world.queues[1].len() <= IN_FLIGHT_MAX);
    let before = world.queues[1].len();
    for _ in 0..100 {
        world.pass(at(100));
    }
    let repeated = world.queues[1].len() - before;
    assert!(repeated < 8, "{repeated} repetitions in 10 s without an answer");
}

#[test]
fn small_writes_share_chunks_when_much_is_on_its_way() {
    let mut world = established();
    for _ in 0..1000 {
        world.write(0, 10);
    }
    let chunks = world.queues[1].len();
    assert!(chunks <= 8 + 10, "{chunks} chunks for 1000 writes");
    world.heal();
    world.assert_complete();
}

#[test]
fn a_window_that_nobody_reads_stops_the_other_end_and_a_lost_opening_of_it_is_found() {
    let mut world = established();
    world.write(0, 1 << 20);
    for _ in 0..50 {
        for to in [1, 0] {
            while !world.queues[to].is_empty() {
                world.deliver(to, 0, false, 0);
            }
        }
        world.pass(at(10));
    }
    let end = world.ends[0].as_mut().expect("it has begun");
    assert_eq!(end.write(1 << 20), 16 << 10, "one window waits to be read, and one to be sent");
    assert!(world.queues[1].is_empty());
    world.read(1, 1 << 20);
    world.queues[0].clear(); // what says that the window is open again
    world.pass(at(1000));
    world.heal();
    world.assert_complete();
}

#[test]
fn silence_ends_a_stream_on_both_sides() {
    let mut world = established();
    let start = world.now;
    while ended(&world, 0).is_none() || ended(&world, 1).is_none() {
        world.queues.iter_mut().for_each(Vec::clear);
        world.pass(at(100));
    }
    assert_eq!(ended(&world, 0), Some(EndReason::Silent(LIMITS.timeout)));
    assert_eq!(ended(&world, 1), Some(EndReason::Silent(LIMITS.timeout)));
    assert!(world.now - start <= LIMITS.timeout + at(100));
}

#[test]
fn a_quiet_stream_lives() {
    let mut world = established();
    let mut messages = 0;
    for _ in 0..6000 {
        for to in [1, 0] {
            while !world.queues[to].is_empty() {
                messages += 1;
                world.deliver(to, 0, false, 0);
            }
        }
        world.pass(at(100));
    }
    assert_eq!((ended(&world, 0), ended(&world, 1)), (None, None));
    assert!(messages < 250, "{messages} messages in ten quiet minutes");
}

#[test]
fn an_end_that_never_acknowledges_is_given_up() {
    let mut stream = Stream::accept(LIMITS, Session::new(1), Session::new(2), 1 << 15, at(0));
    stream.write(b"hello");
    let mut talker = Stream::accept(LIMITS, Session::new(2), Session::new(1), 1 << 15, at(0));
    let mut now = at(0);
    while stream.ended().is_none() {
        while stream.poll(now).is_some() {}
        // It is heard of, but says that it has got nothing.
        talker.opened_again(now);
        while let Some(message) = talker.poll(now) {
            stream.input(&Chunk::decode(&message).unwrap(), now);
        }
        now += at(100);
    }
    assert_eq!(stream.ended(), Some(&EndReason::Unacknowledged(LIMITS.timeout)));
}

#[test]
fn a_reset_tells_the_other_end_why() {
    let mut world = established();
    world.ends[0].as_mut().unwrap().stream.reset("enough");
    world.settle();
    while !world.queues[1].is_empty() {
        world.deliver(1, 0, false, 0);
    }
    assert_eq!(ended(&world, 0), Some(EndReason::GivenUp("enough".into())));
    assert_eq!(ended(&world, 1), Some(EndReason::Reset("enough".into())));
    assert_eq!(world.ends[1].as_mut().unwrap().write(1), 0);
}

#[test]
fn a_refusal_ends_a_stream_that_nobody_has_answered_for() {
    let mut stream = Stream::open(LIMITS, Session::new(1), &node(), at(0));
    let refusal = Chunk::reset(Session::new(1), Session::new(5), "too many streams");
    stream.input(&Chunk::decode(&refusal).unwrap(), at(1));
    assert_eq!(stream.ended(), Some(&EndReason::Reset("too many streams".into())));
}

#[test]
fn limits_that_cannot_be_used_are_taken_for_the_nearest_that_can() {
    let limits = StreamLimits::DEFAULT.window(0).message(0).timeout(Duration::ZERO);
    let mut stream = Stream::open(limits, Session::new(1), &node(), at(0));
    assert_eq!(stream.write(&[0; 1 << 20]), 16 << 10);
    assert_eq!(stream.next_timeout(), Some(at(0)));
    assert!(stream.poll(at(999)).is_some() && stream.ended().is_none());
    assert!(stream.poll(at(1000)).is_none() && stream.ended().is_some());
}
