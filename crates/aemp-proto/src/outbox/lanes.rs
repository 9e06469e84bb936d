//! Large messages on their way in parts, and what has to stay behind them.
//!
//! ```text
//!   records   small   small   small …                          written first, each time
//!   lane 1    [large, half of it sent] → small → large → …     lanes take turns, a part at a time
//!   lane 2    [large] → …
//! ```
//!
//! Messages of one lane keep their order. Two messages belong to one lane if they have a sender or
//! a receiver in common; one that has something in common with two lanes joins them. What has
//! nothing in common with any of them is no business of this module.
//!
//! Messages get their numbers when they are complete, in the order in which they are.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use bytes::Bytes;

use crate::TraceContext;
use crate::wire::parts::may_begin;
use crate::wire::{Body, EncodeError, Records, native};

/// What a message costs while it is held, beside its bytes.
const COST: usize = 256;

/// Whom a message or request is for, as far as order is concerned.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stream<'a> {
    /// The port with this name; the node port has the empty one.
    Port(&'a str),
    /// It may not overtake anything: news of a port that is gone, whose last messages come first,
    /// no matter who they are for.
    All,
}

/// All lanes; mostly nothing is there.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// In the order in which they began.
    lanes: Vec<Lane>,
    /// Hashes of senders and receivers: which lane has messages of them, and how many. If two have
    /// the same one, more is kept in order than has to be.
    members: HashMap<u64, Member>,
    /// Names of lanes that were given.
    named: u64,
    /// Messages of which a part was sent, on this connection; and those that are unfinished, and
    /// how long they are together.
    begun: u32,
    unfinished: usize,
    announced: usize,
    /// What all that is held counts for.
    bytes: usize,
    /// The lane whose turn it is.
    turn: usize,
}

/// Messages in order. The first one is large, and those that have begun stand before all that have
/// not.
#[derive(Debug)]
struct Lane {
    name: u64,
    held: VecDeque<Held>,
}

#[derive(Debug)]
struct Member {
    lane: u64,
    messages: usize,
}

#[derive(Debug)]
struct Held {
    members: [Option<u64>; 2],
    port: String,
    count: u32,
    /// Those of its values that are not sent.
    items: Bytes,
    trace: Option<TraceContext>,
    size: Size,
}

#[derive(Debug)]
enum Size {
    /// It is sent whole when its turn comes.
    Small,
    Large,
    /// Large, and begun.
    Begun {
        /// Given with the first part; 0 before.
        number: u32,
        /// Bytes of the payload in all, and those that are not sent.
        len: usize,
        left: usize,
        /// What comes before the values, until it is sent.
        head: Vec<u8>,
    },
}

/// The hash of a receiver.
fn receiver(port: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    port.hash(&mut hasher);
    hasher.finish()
}

impl Lanes {
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// What all that is held counts for, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds a message if it has to stay behind something, or is `large`; false if not.
    ///
    /// # Errors
    ///
    /// The message fits into no frame.
    pub(super) fn hold(
        &mut self,
        stream: Stream<'_>,
        sender: Option<u64>,
        port: &str,
        (body, trace): (&Body, Option<TraceContext>),
        large: bool,
    ) -> Result<bool, EncodeError> {
        let members = match stream {
            Stream::Port(name) => [Some(receiver(name)), sender],
            Stream::All => [None, None],
        };
        let at = match (self.join(stream, &members), large) {
            (None, false) => return Ok(false),
            (Some(at), _) => at,
            (None, true) => {
                self.named += 1;
                self.lanes.push(Lane { name: self.named, held: VecDeque::new() });
                self.lanes.len() - 1
            }
        };
        // Whether it can be written is found out now.
        native::payload_head(port, body.count(), body.items().len())?;
        let lane = &mut self.lanes[at];
        for member in members.into_iter().flatten() {
            self.members.entry(member).or_insert(Member { lane: lane.name, messages: 0 }).messages += 1;
        }
        self.bytes += body.items().len() + COST;
        lane.held.push_back(Held {
            members,
            port: port.to_string(),
            count: body.count(),
            // A large one is shared; that of a small one may run code of others when it is dropped.
            items: if large { body.items().clone() } else { Bytes::copy_from_slice(body.items()) },
            trace,
            size: if large { Size::Large } else { Size::Small },
        });
        Ok(true)
    }

    /// The lane that a message belongs to, after all that it belongs to have become one: the
    /// oldest.
    fn join(&mut self, stream: Stream<'_>, members: &[Option<u64>; 2]) -> Option<usize> {
        let named = members.map(|member| Some(self.members.get(&member?)?.lane));
        let belongs = |lane: &Lane| matches!(stream, Stream::All) || named.contains(&Some(lane.name));
        let first = self.lanes.iter().position(belongs)?;
        let name = self.lanes[first].name;
        while let Some(other) = self.lanes[first + 1..].iter().position(belongs) {
            let other = self.lanes.remove(first + 1 + other);
            for member in self.members.values_mut().filter(|member| member.lane == other.name) {
                member.lane = name;
            }
            self.lanes[first].append(other);
        }
        Some(first)
    }

    /// Appends the next parts, about four of this many bytes, and what need not be held any more.
    /// `limit` is that of one message, and `next_seq` the number that the next whole message gets.
    pub(super) fn cut(&mut self, part: usize, limit: usize, records: &mut Records, next_seq: &mut u64) {
        let enough = records.len() + part.saturating_mul(4);
        while records.len() < enough {
            self.begin(limit);
            let count = self.lanes.len();
            let turns = (0..count).map(|after| (self.turn + after) % count);
            let Some(at) = turns.into_iter().find(|at| self.lanes[*at].has_begun()) else { return };
            self.turn = at + 1;
            self.send_part(at, part, records, next_seq);
            if self.lanes[at].held.is_empty() {
                self.lanes.remove(at);
                self.turn = at;
            }
        }
    }

    /// Lets messages begin, in the order of their lanes, as far as the receiver allows it.
    fn begin(&mut self, limit: usize) {
        for lane in &mut self.lanes {
            let Some(held) = lane.held.front_mut().filter(|held| matches!(held.size, Size::Large)) else {
                continue;
            };
            let head = native::payload_head(&held.port, held.count, held.items.len());
            let head = head.expect("this was found out when it was held");
            let len = head.len() + held.items.len();
            if self.unfinished > 0 && !may_begin(self.unfinished, self.announced, len, limit) {
                return; // those behind it wait as well, or it would wait for ever
            }
            self.unfinished += 1;
            self.announced += len;
            held.size = Size::Begun { number: 0, len, left: len, head };
        }
    }

    /// Appends a part of the first message of a lane, which has begun; if that was the last one,
    /// also what waited for it.
    fn send_part(&mut self, at: usize, part: usize, records: &mut Records, next_seq: &mut u64) {
        let lane = &mut self.lanes[at];
        let Some(Held { items, trace, size: Size::Begun { number, len, left, head }, .. }) =
            lane.held.front_mut()
        else {
            return;
        };
        if *left == *len {
            self.begun = self.begun.wrapping_add(1);
            *number = self.begun;
        }
        let piece = items.split_to(part.clamp(1, items.len()));
        self.bytes -= piece.len();
        let bytes = head.len() + piece.len();
        if !items.is_empty() {
            records.push_part((0, None), *number, *left, head, piece);
            head.clear();
            *left -= bytes;
            return;
        }
        records.push_part((take(next_seq), *trace), *number, *left, head, piece);
        self.unfinished -= 1;
        self.announced -= *len;
        let mut done = lane.held.pop_front();
        while let Some(Held { members, .. }) = done {
            self.bytes -= COST;
            for member in members.into_iter().flatten() {
                if let Some(known) = self.members.get_mut(&member) {
                    known.messages -= 1;
                    if known.messages == 0 {
                        self.members.remove(&member);
                    }
                }
            }
            done = lane.held.pop_front_if(|held| matches!(held.size, Size::Small));
            if let Some(Held { port, count, items, trace, .. }) = &done {
                self.bytes -= items.len();
                let body = Body::new(*count, items.clone());
                push(records, take(next_seq), port, &body, *trace)
                    .expect("this was found out when it was held");
            }
        }
    }

    /// Gives up all of it; a new connection begins with nothing.
    pub(super) fn give_up(&mut self) -> Vec<Bytes> {
        let lanes = std::mem::take(self).lanes;
        lanes.into_iter().flat_map(|lane| lane.held).map(|held| held.items).collect()
    }
}

/// Appends a message, with its place in a trace if there is one.
pub(super) fn push(
    records: &mut Records,
    seq: u64,
    port: &str,
    body: &Body,
    trace: Option<TraceContext>,
) -> Result<(), EncodeError> {
    match trace {
        None => records.push(seq, port, body),
        Some(trace) => records.push_traced(seq, port, body, trace),
    }
}

fn take(next_seq: &mut u64) -> u64 {
    *next_seq += 1;
    *next_seq - 1
}

impl Lane {
    fn has_begun(&self) -> bool {
        self.held.front().is_some_and(Held::has_begun)
    }

    /// Appends another lane. What has begun there has nothing in common with what has not begun
    /// here, and goes before it: something that cannot begin before others are finished must not
    /// stand before them.
    fn append(&mut self, mut other: Lane) {
        let begun = |lane: &Lane| lane.held.iter().take_while(|held| held.has_begun()).count();
        let mut tail = self.held.split_off(begun(self));
        let mut others_tail = other.held.split_off(begun(&other));
        for part in [&mut other.held, &mut tail, &mut others_tail] {
            self.held.append(part);
        }
    }
}

impl Held {
    fn has_begun(&self) -> bool {
        matches!(self.size, Size::Begun { .. })
    }
}
