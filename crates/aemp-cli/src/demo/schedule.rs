//! Which worker gets which chunk: a few at a time for each, and those of a lost worker go to
//! others.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

/// A piece of text on its way through a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Its number.
    pub(crate) id: u64,
    /// The text.
    pub(crate) text: Bytes,
}

/// The chunks that are not counted yet. `W` names a worker.
#[derive(Debug)]
pub(crate) struct Schedule<W> {
    /// The most chunks that a worker has at a time.
    limit: usize,
    waiting: VecDeque<Chunk>,
    working: BTreeMap<W, BTreeMap<u64, Chunk>>,
}

impl<W: Clone + Ord> Schedule<W> {
    /// A schedule that gives each worker at most `limit` chunks at a time.
    pub(crate) fn new(limit: usize) -> Schedule<W> {
        Schedule { limit, waiting: VecDeque::new(), working: BTreeMap::new() }
    }

    /// There is a new chunk.
    pub(crate) fn add(&mut self, chunk: Chunk) {
        self.waiting.push_back(chunk);
    }

    /// A worker is there.
    pub(crate) fn join(&mut self, worker: W) {
        self.working.entry(worker).or_default();
    }

    /// A worker is gone: its chunks wait again, in front. Returns how many they were.
    pub(crate) fn leave(&mut self, worker: &W) -> usize {
        let chunks = self.working.remove(worker).unwrap_or_default();
        let count = chunks.len();
        for chunk in chunks.into_values().rev() {
            self.waiting.push_front(chunk);
        }
        count
    }

    /// The next chunk to be sent, to the worker with the least to do; it counts as sent from now
    /// on.
    pub(crate) fn next(&mut self) -> Option<(W, Chunk)> {
        let (worker, chunks) = self
            .working
            .iter_mut()
            .filter(|(_, chunks)| chunks.len() < self.limit)
            .min_by_key(|(_, c)| c.len())?;
        let chunk = self.waiting.pop_front()?;
        chunks.insert(chunk.id, chunk.clone());
        Some((worker.clone(), chunk))
    }

    /// A worker has counted a chunk. `None` if it was not its to count (any more).
    pub(crate) fn finish(&mut self, worker: &W, id: u64) -> Option<Chunk> {
        self.working.get_mut(worker)?.remove(&id)
    }

    /// Whether a further chunk could be sent at once.
    pub(crate) fn is_hungry(&self) -> bool {
        self.waiting.is_empty() && self.working.values().any(|chunks| chunks.len() < self.limit)
    }

    /// Whether there are chunks that nobody has.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether nothing waits or is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.working.values().all(BTreeMap::is_empty)
    }

    /// The worker with the most chunks under way, if any has one.
    pub(crate) fn busiest(&self) -> Option<&W> {
        let (worker, chunks) = self.working.iter().max_by_key(|(_, chunks)| chunks.len())?;
        (!chunks.is_empty()).then_some(worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(chunks: u64) -> Schedule<char> {
        let mut schedule = Schedule::new(2);
        for id in 0..chunks {
            schedule.add(Chunk { id, text: Bytes::new() });
        }
        schedule
    }

    fn drain(schedule: &mut Schedule<char>) -> Vec<(char, u64)> {
        std::iter::from_fn(|| schedule.next()).map(|(worker, chunk)| (worker, chunk.id)).collect()
    }

    #[test]
    fn nobody_gets_more_than_the_limit_and_the_least_busy_comes_first() {
        let mut schedule = schedule(6);
        assert!(drain(&mut schedule).is_empty());
        schedule.join('a');
        assert_eq!(drain(&mut schedule), [('a', 0), ('a', 1)]);
        schedule.join('b');
        assert_eq!(drain(&mut schedule), [('b', 2), ('b', 3)]);
        assert!(schedule.finish(&'a', 1).is_some());
        assert_eq!(drain(&mut schedule), [('a', 4)]);
        assert!(!schedule.is_hungry());
    }

    #[test]
    fn the_chunks_of_a_lost_worker_go_to_others_first() {
        let mut schedule = schedule(5);
        schedule.join('a');
        schedule.join('b');
        assert_eq!(drain(&mut schedule), [('a', 0), ('b', 1), ('a', 2), ('b', 3)]);
        assert!(schedule.finish(&'a', 0).is_some());
        assert_eq!(schedule.leave(&'b'), 2);
        assert_eq!(schedule.finish(&'b', 1), None, "what a lost worker says later does not count");
        assert_eq!(drain(&mut schedule), [('a', 1)]);
        schedule.join('c');
        assert_eq!(drain(&mut schedule), [('c', 3), ('c', 4)]);
        assert_eq!(schedule.leave(&'b'), 0);
    }

    #[test]
    fn a_chunk_counts_once() {
        let mut schedule = schedule(1);
        schedule.join('a');
        assert_eq!(schedule.busiest(), None);
        drain(&mut schedule);
        assert_eq!(schedule.busiest(), Some(&'a'));
        assert!(!schedule.is_empty() && schedule.is_hungry());
        assert!(schedule.finish(&'a', 0).is_some());
        assert!(schedule.finish(&'a', 0).is_none());
        assert!(schedule.is_empty());
    }
}
