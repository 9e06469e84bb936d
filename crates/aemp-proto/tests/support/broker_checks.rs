//! What must hold of streams over a broker, no matter what becomes of their chunks. The fuzz
//! target, the test that replays its corpus, and the property tests call this.

use std::time::Duration;

use aemp_proto::NodeId;
use aemp_proto::broker::{Chunk, EndReason, Session, Stream, StreamLimits};

const WINDOW: u64 = 16 << 10;
const MESSAGE: usize = 1 << 10;
pub(crate) const LIMITS: StreamLimits = StreamLimits::DEFAULT.window(WINDOW).message(MESSAGE);

const DIALLER: Session = Session::new(1);
const ACCEPTOR: Session = Session::new(2);

/// One end, and what is known of what it has sent and got.
pub(crate) struct End {
    pub(crate) stream: Stream,
    /// The salt of what it writes: the byte at a place is known, so a wrong one is found.
    salt: u64,
    written: u64,
    finished: bool,
    read: u64,
    at_end: bool,
}

/// Two ends, and what is on its way between them.
pub(crate) struct World {
    pub(crate) ends: [Option<End>; 2],
    /// What is for each end, the oldest first.
    pub(crate) queues: [Vec<Vec<u8>>; 2],
    pub(crate) now: Duration,
}

fn byte(salt: u64, at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8 ^ salt as u8
}

impl World {
    pub(crate) fn new() -> World {
        let node = NodeId::new("dialler").expect("a node ID");
        let dialler = Stream::open(LIMITS, DIALLER, &node, Duration::ZERO);
        let mut world = World {
            ends: [Some(End::new(dialler, 17)), None],
            queues: [Vec::new(), Vec::new()],
            now: Duration::ZERO,
        };
        world.settle();
        world
    }

    /// Sends what the ends want sent.
    pub(crate) fn settle(&mut self) {
        for at in 0..2 {
            let Some(end) = &mut self.ends[at] else { continue };
            let mut sent = 0;
            while let Some(message) = end.stream.poll(self.now) {
                assert!(message.len() <= MESSAGE + 64, "a message of {} bytes", message.len());
                sent += 1;
                assert!(sent < 64, "it sends without end");
                self.queues[1 - at].push(message);
            }
            if let Some(at) = end.stream.next_timeout() {
                assert!(
                    at > self.now || end.stream.ended().is_some(),
                    "it wants to be called at once, for ever"
                );
            }
        }
    }

    /// One message of those for an end arrives, and stays on its way if it is to come `again`.
    pub(crate) fn deliver(&mut self, to: usize, which: usize, again: bool, cut: usize) {
        let Some(count) = self.queues[to].len().checked_sub(1) else { return };
        let which = which.min(count);
        let message = match again {
            true => self.queues[to][which].clone(),
            false => self.queues[to].remove(which),
        };
        self.arrive(to, &message[..message.len().saturating_sub(cut)]);
    }

    /// A message arrives, from the other end or from anybody.
    pub(crate) fn arrive(&mut self, to: usize, message: &[u8]) {
        let Ok(chunk) = Chunk::decode(message) else { return };
        match (&chunk, &mut self.ends[to]) {
            (Chunk::Open { from, limit, .. }, None) => {
                let stream = Stream::accept(LIMITS, ACCEPTOR, *from, *limit, self.now);
                self.ends[to] = Some(End::new(stream, 99));
            }
            (Chunk::Open { from, .. }, Some(end)) if end.stream.peer() == Some(*from) => {
                end.stream.opened_again(self.now);
            }
            (_, Some(end)) => end.stream.input(&chunk, self.now),
            (_, None) => {}
        }
        self.settle();
    }

    pub(crate) fn lose(&mut self, to: usize, which: usize) {
        if let Some(count) = self.queues[to].len().checked_sub(1) {
            self.queues[to].remove(which.min(count));
        }
    }

    pub(crate) fn write(&mut self, at: usize, len: usize) {
        if let Some(end) = &mut self.ends[at] {
            end.write(len);
        }
        self.settle();
    }

    pub(crate) fn finish(&mut self, at: usize) {
        if let Some(end) = &mut self.ends[at] {
            end.stream.finish();
            end.finished = true;
        }
        self.settle();
    }

    /// An end reads, and every byte is the one that the other end has written there.
    pub(crate) fn read(&mut self, at: usize, len: usize) {
        let now = self.now;
        let Some(end) = &mut self.ends[at] else { return };
        let mut out = vec![0; len];
        let count = end.stream.read(&mut out, now);
        let from = end.read;
        end.read += count as u64;
        let (read, is_at_end) = (end.read, end.stream.is_at_end());
        end.at_end |= is_at_end;
        let Some(other) = &self.ends[1 - at] else {
            return assert!(count == 0 && !is_at_end, "bytes come from somebody");
        };
        for (offset, got) in (from..).zip(&out[..count]) {
            assert_eq!(*got, byte(other.salt, offset), "the byte {offset}");
        }
        assert!(read <= other.written, "more is read than was written");
        if is_at_end {
            assert!(other.finished && read == other.written, "the end is behind the last byte");
        }
        self.settle();
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.settle();
    }

    /// Both ends finish, all that is on its way arrives, in order, and everything is read, until
    /// both are over.
    pub(crate) fn heal(&mut self) {
        for _ in 0..10_000 {
            let was = self.state();
            [0, 1].into_iter().for_each(|at| self.finish(at));
            for at in 0..2 {
                for message in std::mem::take(&mut self.queues[at]) {
                    self.arrive(at, &message);
                }
                self.read(at, usize::from(u16::MAX));
            }
            let is_over = self.ends.iter().flatten().all(|end| end.stream.ended().is_some());
            if is_over && self.queues.iter().all(Vec::is_empty) {
                return;
            }
            if was == self.state() && self.queues.iter().all(Vec::is_empty) {
                let next = self.ends.iter().flatten().filter_map(|end| end.stream.next_timeout()).min();
                self.now = self.now.max(next.expect("somebody waits for something"));
                self.settle();
            }
        }
        panic!("it never ends");
    }

    fn state(&self) -> [Option<(u64, u64, bool)>; 2] {
        self.ends.each_ref().map(|end| end.as_ref().map(|end| (end.written, end.read, end.at_end)))
    }

    /// That both ends have got all, and know it.
    pub(crate) fn assert_complete(&self) {
        let ends = self.ends.each_ref().map(|end| end.as_ref().expect("it has begun"));
        for (end, other) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            assert_eq!(end.stream.ended(), Some(&EndReason::Closed));
            assert_eq!((end.read, end.at_end), (other.written, true));
        }
    }
}

impl End {
    fn new(stream: Stream, salt: u64) -> End {
        End { stream, salt, written: 0, finished: false, read: 0, at_end: false }
    }

    pub(crate) fn write(&mut self, len: usize) -> usize {
        let bytes: Vec<u8> = (self.written..).take(len).map(|at| byte(self.salt, at)).collect();
        let count = self.stream.write(&bytes);
        self.written += count as u64;
        count
    }
}

/// Two ends and a broker that does with their chunks what the bytes say: it delivers, loses,
/// repeats, reorders and cuts. What an end reads is what the other one has written, from the first
/// byte on, or the stream ends.
pub(crate) fn lossy(bytes: &[u8]) {
    let mut world = World::new();
    for step in bytes.chunks_exact(3) {
        let (at, which) = (usize::from(step[0] & 1), usize::from(step[1]));
        let amount = usize::from(step[2]);
        match step[0] >> 1 & 15 {
            0..=3 => world.deliver(at, 0, false, 0),
            4 => world.deliver(at, which, false, 0),
            5 => world.deliver(at, which, true, 0),
            6 => world.deliver(at, which, false, amount + 1),
            7 => world.lose(at, which),
            8 | 9 => world.write(at, which * amount),
            10 => world.write(at, amount),
            11 => world.read(at, which * amount),
            12 => world.pass(Duration::from_millis(amount as u64 * 4)),
            13 => world.pass(Duration::from_millis(amount as u64 * 40)),
            14 if amount < 32 => world.finish(at),
            14 => world.resume(at),
            _ => world.limit(at, which * amount),
        }
    }
    world.heal();
    let failed = |end: &End| !matches!(end.stream.ended(), Some(EndReason::Closed));
    if !world.ends.iter().flatten().any(failed) && world.ends[1].is_some() {
        world.assert_complete();
    }
}

impl World {
    pub(crate) fn resume(&mut self, at: usize) {
        if let Some(end) = &mut self.ends[at] {
            end.stream.resumed(self.now);
        }
        self.settle();
    }

    fn limit(&mut self, at: usize, message: usize) {
        if let Some(end) = &mut self.ends[at] {
            end.stream.set_message_limit(message.min(MESSAGE));
        }
    }
}

/// One end, and bytes that are anything: the broker forges. It does not panic, does not keep more
/// than its window, and once it has ended, it stays so.
pub(crate) fn forged(bytes: &[u8]) {
    let mut rest = bytes;
    let mut now = Duration::ZERO;
    let mut stream = match bytes.first() {
        Some(first) if first & 1 == 1 => Stream::accept(LIMITS, DIALLER, ACCEPTOR, WINDOW, now),
        _ => Stream::open(LIMITS, DIALLER, &NodeId::new("n").expect("a node ID"), now),
    };
    let mut unread = 0;
    while let Some((step, left)) = rest.split_first_chunk::<4>() {
        let len = usize::from(u16::from_be_bytes([step[2], step[3]])) & 0x1fff;
        let (message, left) = left.split_at(len.min(left.len()));
        rest = left;
        now += Duration::from_millis(u64::from(step[1]));
        let ended = stream.ended().cloned();
        let forged = if step[0] & 8 == 0 { message.to_vec() } else { forge(message) };
        if let Ok(chunk) = Chunk::decode(&forged) {
            stream.input(&chunk, now);
        }
        if ended.is_some() {
            assert_eq!(stream.ended(), ended.as_ref());
        }
        match step[0] & 7 {
            0 => drop(stream.write(message)),
            1 => unread = stream.read(&mut [0; 1 << 15], now),
            2 => stream.finish(),
            _ => {}
        }
        assert!(unread <= WINDOW as usize, "it keeps {unread} bytes");
        for _ in 0..64 {
            match stream.poll(now) {
                None => break,
                Some(message) => assert!(Chunk::decode(&message).is_ok(), "what it sends is a chunk"),
            }
        }
    }
}

/// A chunk for the end that is tried, as the other end would send it, but with numbers of anybody's
/// choice: small ones mostly, for these come near to what is allowed.
fn forge(bytes: &[u8]) -> Vec<u8> {
    let at = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let mut message = vec![1, 2 + (at(0) & 1), at(0) >> 1];
    message.extend_from_slice(&1_u128.to_be_bytes());
    message.extend_from_slice(&2_u128.to_be_bytes());
    for number in 0..3 {
        let [size, high, low] = [1, 2, 3].map(|field| u64::from(at(number * 3 + field)));
        let value = (high << 8 | low) << if size > 250 { size - 203 } else { size & 1 };
        message.extend_from_slice(&value.to_be_bytes());
    }
    let body = bytes.get(10..).unwrap_or_default();
    message.extend_from_slice(&(body.len() as u32).to_be_bytes());
    message.extend_from_slice(body);
    message
}
