//! The memory that a connection is read into.
//!
//! Messages are slices of it, so a block of it is in use as long as one of its messages is. A
//! reader goes through a few blocks in turn and begins one again when nothing of it is in use any
//! more: memory that was just used is in the cache, and new one has to be asked for and cleared.
//!
//! Of the connections of a large network most say little. One that does has a small block, until
//! more comes than fits.
//!
//! A message of a few bytes that is kept for long keeps a block. What is kept so is charged to the
//! budget of the peer, and bounded: above the limit messages are copied.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;

use crate::budget::{Budget, Charge};

/// A read is offered at least this much.
const READ: usize = 16 << 10;

/// Bytes of the block of a connection that says little, and what is left of it when it is time for
/// a larger one.
const QUIET: usize = 1 << 10;
const QUIET_LEFT: usize = 256;

/// Bytes of the first block, and the most that one grows to. A connection that fills its block gets
/// larger ones.
const FIRST: usize = 64 << 10;
const BLOCK: usize = 512 << 10;

/// Bytes of blocks that messages keep, above which each message gets memory of its own.
const KEPT_MAX: usize = 32 << 20;

/// Of blocks that nobody uses this many stay; the others go one by one.
const SPARE: usize = 2;

/// A message that is smaller than this part of its block is copied when too much is kept.
const PART: usize = 4;

/// What a connection has of it beside the block that is being filled. It outlives the connection as
/// its messages do: give it to the next one of the same peer.
#[derive(Debug)]
pub struct Room {
    /// The block that is being filled is a small one, or nothing was read yet.
    quiet: bool,
    /// Where the input began when it was last looked whether the connection says little.
    looked: usize,
    /// Bytes of the next new block.
    next: usize,
    /// Where the block that is being filled begins, and its bytes.
    begin: usize,
    size: usize,
    /// The block that is being filled was made larger, for a large frame; it is not used again.
    outgrown: bool,
    /// Blocks that are full, the oldest first.
    full: VecDeque<Block>,
    /// What messages keep of the full blocks.
    kept: usize,
    charge: Option<Charge>,
    crowded: bool,
}

#[derive(Debug)]
struct Block {
    memory: BytesMut,
    size: usize,
    outgrown: bool,
}

impl Block {
    /// Whether nothing of it is in use any more, and it has room for this much.
    fn is_free(&mut self, needed: usize) -> bool {
        self.memory.clear();
        self.memory.try_reclaim(self.size.max(needed))
    }
}

impl Default for Room {
    fn default() -> Room {
        Room {
            quiet: true,
            looked: 0,
            next: FIRST,
            begin: 0,
            size: 0,
            outgrown: false,
            full: VecDeque::new(),
            kept: 0,
            charge: None,
            crowded: false,
        }
    }
}

impl Room {
    /// Room of which what messages keep is charged to the budget of the peer.
    pub fn charged_to(budget: &Arc<Budget>) -> Room {
        Room { charge: Some(budget.nothing()), ..Room::default() }
    }

    /// Looks whether messages keep anything of what was read; the rest is given back.
    pub fn is_kept(&mut self) -> bool {
        self.give_back();
        self.kept > 0
    }

    /// The connection has ended. What its messages keep stays charged.
    pub(crate) fn end(&mut self, input: BytesMut) {
        self.close(input);
        self.give_back();
    }

    /// Nothing more is read into this block; the next one is small.
    fn close(&mut self, input: BytesMut) {
        self.push(input);
        (self.begin, self.size, self.outgrown) = (0, 0, false);
        self.quiet = true;
    }

    /// Whether a message of this length is to be copied out of the block that is being filled.
    #[inline]
    pub(crate) fn copies(&self, len: usize) -> bool {
        self.crowded && len.saturating_mul(PART) < self.size.max(BLOCK)
    }

    /// Whether small messages are copied.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// Sees to it that `input` has room: for one read, and for the `missing` bytes of the frame
    /// that it ends with. Of these for no more than have come already or make a block full, so that
    /// nobody makes us ask for memory by a few bytes.
    pub(crate) fn make(&mut self, input: &mut BytesMut, missing: usize) {
        if self.quiet {
            if missing == 0 && self.make_small(input) {
                return;
            }
            self.quiet = false;
        }
        let room = READ.max(missing.min(input.len().max(self.next)));
        // What comes behind a large frame must not keep it.
        let is_over = self.outgrown && input.len() < BLOCK && input.as_ptr() as usize != self.begin;
        if input.capacity() - input.len() >= room && !is_over {
            return;
        }
        if self.crowded {
            self.count();
        }
        let needed = input.len() + room;
        if input.len() >= BLOCK {
            // Alone in its memory it can often grow where it is.
            input.reserve(room);
            return self.begun(input, true);
        }
        if self.next == BLOCK && !is_over && input.try_reclaim(room) {
            return;
        }
        let mut next = self.free(needed).unwrap_or_else(|| BytesMut::with_capacity(needed.max(self.next)));
        next.extend_from_slice(input);
        let full = std::mem::replace(input, next);
        self.push(full);
        self.begun(input, needed > BLOCK);
        self.next = (self.next * 2).min(BLOCK);
        self.count();
    }

    /// As [`Room::make`], in a small block; false if the connection needs a larger one.
    fn make_small(&mut self, input: &mut BytesMut) -> bool {
        if self.size == 0 {
            if input.is_empty() && input.capacity() < QUIET_LEFT {
                *input = BytesMut::with_capacity(QUIET);
            }
            self.begun(input, false);
        }
        input.capacity() - input.len() >= QUIET_LEFT || (input.is_empty() && input.try_reclaim(QUIET_LEFT))
    }

    /// Gives back what waits to be used again, and the block that is being filled if little has
    /// come since the last time.
    pub(crate) fn rest(&mut self, input: &mut BytesMut) {
        let begin = input.as_ptr() as usize;
        if !self.quiet && input.is_empty() && begin.wrapping_sub(self.looked) < QUIET {
            self.close(std::mem::take(input));
        }
        self.looked = input.as_ptr() as usize;
        self.give_back();
    }

    fn give_back(&mut self) {
        self.full.retain_mut(|block| !block.is_free(0));
        self.next = FIRST;
        self.count();
    }

    fn begun(&mut self, input: &BytesMut, outgrown: bool) {
        (self.begin, self.size, self.outgrown) = (input.as_ptr() as usize, input.capacity(), outgrown);
    }

    fn push(&mut self, memory: BytesMut) {
        let (size, outgrown) = (self.size, self.outgrown || self.size < BLOCK);
        if size > 0 {
            self.full.push_back(Block { memory, size, outgrown });
        }
    }

    /// Looks what messages keep of the full blocks.
    fn count(&mut self) {
        self.full.retain_mut(|block| !block.outgrown || !block.is_free(0));
        self.kept = self.full.iter_mut().filter_map(|block| (!block.is_free(0)).then_some(block.size)).sum();
        let charged = self.charge.as_mut().is_none_or(|charge| charge.resize(self.kept));
        self.crowded = self.kept > KEPT_MAX || !charged;
    }

    /// A block of which nothing is in use any more; the one that was used last.
    fn free(&mut self, needed: usize) -> Option<BytesMut> {
        let is_free = |block: &mut Block| !block.outgrown && block.is_free(needed);
        if self.full.len() > SPARE && self.full.iter_mut().take(SPARE + 1).all(is_free) {
            self.full.pop_front();
        }
        let found = self.full.iter_mut().rposition(is_free)?;
        self.full.remove(found).map(|block| block.memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    /// Lets this many bytes come and be split off as messages of the same size, as far as there is
    /// room.
    fn fill(room: &mut Room, input: &mut BytesMut, bytes: usize) -> Bytes {
        room.make(input, 0);
        let bytes = bytes.min(input.capacity() - input.len());
        input.resize(input.len() + bytes, 7);
        input.split_to(bytes).freeze()
    }

    #[test]
    fn memory_of_messages_that_are_done_with_is_used_again() {
        let (mut room, mut input) = (Room::default(), BytesMut::new());
        let mut seen = std::collections::HashSet::new();
        let mut last = Bytes::new();
        for _ in 0..10_000 {
            // Always one message is in use.
            last = fill(&mut room, &mut input, 10_000);
            seen.insert(last.as_ptr() as usize / BLOCK);
        }
        drop(last);
        assert!(seen.len() <= 2 * (SPARE + 4), "{}", seen.len());
    }

    #[test]
    fn messages_in_use_keep_their_bytes() {
        let (mut room, mut input) = (Room::default(), BytesMut::new());
        let messages: Vec<Bytes> = (0..300).map(|_| fill(&mut room, &mut input, 10_000)).collect();
        assert!(messages.iter().all(|message| message.iter().all(|byte| *byte == 7)));
    }

    #[test]
    fn what_messages_keep_is_charged_until_nothing_is_in_use_any_more() {
        let budget = Budget::new(1 << 30);
        let (mut room, mut input) = (Room::charged_to(&budget), BytesMut::new());
        let mut kept = Vec::new();
        while !room.is_crowded() {
            let message = fill(&mut room, &mut input, 10_000);
            if kept.len() < (room.kept / BLOCK) * 2 + 50 {
                kept.push(message);
            }
        }
        assert!(budget.used() > KEPT_MAX && budget.used() < KEPT_MAX + 2 * BLOCK, "{}", budget.used());
        assert!(room.copies(10_000) && !room.copies(BLOCK));
        room.end(input);
        let used = budget.used();
        kept.drain(..kept.len() / 2);
        room.rest(&mut BytesMut::new());
        assert!(budget.used() > 0 && budget.used() < used, "{} of {used}", budget.used());
        kept.clear();
        room.rest(&mut BytesMut::new());
        assert!(budget.used() == 0 && !room.is_crowded());
    }

    #[test]
    fn what_comes_behind_a_large_frame_does_not_keep_it() {
        let (mut room, mut input) = (Room::default(), BytesMut::new());
        room.make(&mut input, 0);
        input.resize(100, 0);
        while input.len() < 8 << 20 {
            let missing = (8 << 20) - input.len();
            room.make(&mut input, missing);
            let more = missing.min(input.capacity() - input.len());
            input.resize(input.len() + more, 0);
        }
        drop(input.split().freeze());
        room.make(&mut input, 0);
        input.resize(10, 0);
        assert!(room.size <= BLOCK && !room.outgrown, "{}", room.size);
        assert!(room.full.iter().all(|block| block.size <= BLOCK), "the large one is given back");
    }

    #[test]
    fn no_more_room_is_made_for_a_large_frame_than_has_come() {
        let (mut room, mut input) = (Room::default(), BytesMut::new());
        input.extend_from_slice(&[0; 4]);
        while input.len() < 16 << 20 {
            let missing = (64 << 20) - input.len();
            room.make(&mut input, missing);
            assert!(input.capacity() <= 4 * input.len() + 2 * BLOCK, "{} {}", input.capacity(), input.len());
            // Always a little less than there is room for.
            input.resize(input.len() + (input.capacity() - input.len()) / 2 + 1, 0);
        }
        // The next block is an ordinary one again.
        drop(input.split().freeze());
        input = BytesMut::new();
        room.make(&mut input, 0);
        assert!(input.capacity() <= 2 * BLOCK);
    }

    #[test]
    fn a_connection_that_says_little_has_a_small_block_until_it_says_more_and_again_afterwards() {
        let budget = Budget::new(1 << 30);
        let (mut room, mut input) = (Room::charged_to(&budget), BytesMut::new());
        let say_little = |room: &mut Room, input: &mut BytesMut| {
            for n in 0..1000 {
                drop(fill(room, input, 20));
                assert!(input.capacity() <= QUIET, "{} {n}", input.capacity());
                if n % 10 == 0 {
                    room.rest(input);
                }
            }
        };
        say_little(&mut room, &mut input);
        assert!(room.full.is_empty());
        // All that fits comes at once, and so there is more.
        input.resize(input.capacity(), 7);
        let kept = input.split().freeze();
        let burst: Vec<Bytes> = (0..100).map(|_| fill(&mut room, &mut input, 10_000)).collect();
        assert!(room.size >= FIRST && burst.iter().all(|message| message.len() == 10_000));
        drop(burst);
        room.rest(&mut input);
        assert!(budget.used() > 0, "what is in use is charged");
        room.rest(&mut input);
        say_little(&mut room, &mut input);
        drop(kept);
        room.rest(&mut input);
        assert_eq!(budget.used(), 0);
    }
}
