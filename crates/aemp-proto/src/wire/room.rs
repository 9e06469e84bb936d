//! The memory that a connection is read into.
//!
//! Messages are slices of it, so a block of it is in use as long as one of its messages is. A reader goes through a few blocks in
//! turn and begins one again when nothing of it is in use any more: memory that was just used is in the cache, and new one has to
//! be asked for and cleared.

use std::collections::VecDeque;

use bytes::BytesMut;

/// A read is offered at least this much.
const READ: usize = 16 << 10;

/// Octets of the first block, and the most that one grows to. A connection that fills its block gets larger ones.
const FIRST: usize = 64 << 10;
const BLOCK: usize = 512 << 10;

/// Blocks that wait for their messages to be done with. If all of them are in use the receivers are far behind, and memory comes
/// new.
const WAITING: usize = 32;

/// Of blocks that nobody uses so many stay; the others go one by one.
const SPARE: usize = 2;

/// What a connection has of it beside the block that is being filled.
#[derive(Debug)]
pub(crate) struct Room {
    /// Octets of the next new block.
    block: usize,
    /// The block that is being filled was made larger, for a large frame; it is not kept.
    outgrown: bool,
    /// Blocks that are full, the oldest first.
    full: VecDeque<BytesMut>,
}

impl Default for Room {
    fn default() -> Room {
        Room { block: FIRST, outgrown: false, full: VecDeque::new() }
    }
}

impl Room {
    /// Sees to it that `input` has room: for one read, and for the `missing` octets of the frame that it ends with. Of these for
    /// no more than have come already or make a block full, so that nobody makes us ask for memory by a few octets.
    pub(crate) fn make(&mut self, input: &mut BytesMut, missing: usize) {
        let room = READ.max(missing.min(input.len().max(self.block)));
        if input.capacity() - input.len() >= room {
            return;
        }
        let needed = input.len() + room;
        if input.len() >= BLOCK {
            // Alone in its memory it can often grow where it is.
            self.outgrown = true;
            return input.reserve(room);
        }
        if self.block == BLOCK && input.try_reclaim(room) {
            return;
        }
        let mut next = self.free(needed).unwrap_or_else(|| BytesMut::with_capacity(needed.max(self.block)));
        next.extend_from_slice(input);
        let full = std::mem::replace(input, next);
        let kept = self.block == BLOCK && !self.outgrown;
        self.outgrown = needed > BLOCK;
        self.block = (self.block * 2).min(BLOCK);
        if kept {
            self.full.push_back(full);
            if self.full.len() > WAITING {
                self.full.pop_front();
            }
        }
    }

    /// Gives back what waits to be used again.
    pub(crate) fn rest(&mut self) {
        self.full.clear();
        self.block = FIRST;
    }

    /// A block of which nothing is in use any more; the one that was used last.
    fn free(&mut self, needed: usize) -> Option<BytesMut> {
        let is_free = |block: &mut BytesMut| {
            block.clear();
            block.try_reclaim(needed)
        };
        if self.full.len() > SPARE && self.full.iter_mut().take(SPARE + 1).all(is_free) {
            self.full.pop_front();
        }
        let found = self.full.iter_mut().rposition(is_free)?;
        self.full.remove(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    /// Lets so many octets come and be split off as messages of the same size, as far as there is room.
    fn fill(room: &mut Room, input: &mut BytesMut, octets: usize) -> Bytes {
        room.make(input, 0);
        let octets = octets.min(input.capacity() - input.len());
        input.resize(input.len() + octets, 7);
        input.split_to(octets).freeze()
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
        assert!(seen.len() <= 2 * (WAITING + 4), "{}", seen.len());
    }

    #[test]
    fn messages_in_use_keep_their_octets() {
        let (mut room, mut input) = (Room::default(), BytesMut::new());
        let messages: Vec<Bytes> = (0..300).map(|_| fill(&mut room, &mut input, 10_000)).collect();
        assert!(messages.iter().all(|message| message.iter().all(|octet| *octet == 7)));
        assert!(room.full.len() <= WAITING);
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
}
