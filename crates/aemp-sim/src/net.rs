//! Connections as TCP has them: two ordered streams of bytes that are slow, stuck, ended or reset,
//! but never reordered.
//!
//! The world moves the bytes; here is only what is on the way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aemp_proto::kernel::LinkId;

/// One end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    /// The node.
    pub(crate) node: usize,
    /// In which of its runs.
    pub(crate) inc: u64,
    /// What the node calls the connection.
    pub(crate) link: LinkId,
    /// Whether the process still has it.
    pub(crate) open: bool,
    /// Whether the process knows that it has it.
    pub(crate) ready: bool,
}

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    bytes: VecDeque<u8>,
    /// How many bytes were written into it, and how many have left it.
    written: u64,
    left: u64,
    /// The end follows.
    fin: bool,
    /// It has been told.
    ended: bool,
    /// Something is on its way already.
    pub(crate) moving: bool,
    /// Somebody waits for room.
    blocked: bool,
    /// Nothing moves: the bandwidth is zero.
    pub(crate) stalled: bool,
}

impl Pipe {
    /// What is on the way is gone.
    fn empty(&mut self) {
        self.bytes.clear();
        self.left = self.written;
    }
}

/// One connection. Side 0 has dialled.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) ends: [End; 2],
    pub(crate) pipes: [Pipe; 2],
}

/// What comes out of a direction.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// Bytes; and whether the writer, who waits, can go on.
    Bytes(Vec<u8>, bool),
    /// The end of the stream.
    End,
    /// Bytes for a process that is gone: its host answers with a reset.
    Astray,
    /// Nothing, for now.
    Nothing,
}

/// All connections, and what stands between the hosts.
#[derive(Debug, Default)]
pub(crate) struct Net {
    wires: BTreeMap<u64, Wire>,
    count: u64,
    written: u64,
    /// Directed: nothing passes from the first host to the second.
    cuts: BTreeSet<(usize, usize)>,
    /// Hosts without power.
    dark: BTreeSet<usize>,
    /// Bytes that fit into a direction.
    buffer: usize,
}

impl Net {
    pub(crate) fn new(buffer: usize) -> Net {
        Net { buffer, ..Net::default() }
    }

    pub(crate) fn connect(&mut self, dialler: End, acceptor: End) -> u64 {
        self.count += 1;
        let wire = Wire { ends: [dialler, acceptor], pipes: [Pipe::default(), Pipe::default()] };
        self.wires.insert(self.count, wire);
        self.count
    }

    pub(crate) fn wire(&mut self, wire: u64) -> Option<&mut Wire> {
        self.wires.get_mut(&wire)
    }

    /// Gives bytes to the host; it takes as many as fit.
    pub(crate) fn write(&mut self, wire: u64, side: usize, bytes: &[u8]) -> usize {
        let buffer = self.buffer;
        let Some(wire) = self.wires.get_mut(&wire) else { return bytes.len() };
        let pipe = &mut wire.pipes[side];
        let room = buffer.saturating_sub(pipe.bytes.len()).min(bytes.len());
        self.written += room as u64;
        pipe.bytes.extend(&bytes[..room]);
        pipe.written += room as u64;
        pipe.blocked = room < bytes.len();
        room
    }

    /// The process lets go of its end; what it has written is still sent, and then the end.
    pub(crate) fn close(&mut self, wire: u64, side: usize) {
        if let Some(known) = self.wires.get_mut(&wire) {
            known.ends[side].open = false;
            known.pipes[side].fin = true;
            known.pipes[side].blocked = false;
        }
    }

    /// The process writes nothing more, and goes on reading.
    pub(crate) fn shut(&mut self, wire: u64, side: usize) {
        if let Some(known) = self.wires.get_mut(&wire) {
            known.pipes[side].fin = true;
        }
    }

    /// Takes what arrives next at the other end of this direction, at most this many bytes.
    pub(crate) fn arrive(&mut self, wire: u64, from: usize, most: usize) -> Arrival {
        let Some(known) = self.wires.get_mut(&wire) else { return Arrival::Nothing };
        let open = known.ends[1 - from].open;
        let pipe = &mut known.pipes[from];
        if !pipe.bytes.is_empty() {
            if !open {
                return Arrival::Astray;
            }
            let count = pipe.bytes.len().min(most.max(1));
            let bytes = pipe.bytes.drain(..count).collect();
            pipe.left += count as u64;
            return Arrival::Bytes(bytes, std::mem::take(&mut pipe.blocked));
        }
        if pipe.fin && !pipe.ended {
            pipe.ended = true;
            return Arrival::End;
        }
        Arrival::Nothing
    }

    /// Whether this direction has something to move, and may.
    pub(crate) fn can_move(&self, wire: u64, from: usize) -> bool {
        self.wires.get(&wire).is_some_and(|known| {
            let pipe = &known.pipes[from];
            let waits = !pipe.bytes.is_empty() || pipe.fin && !pipe.ended;
            waits
                && known.ends[1 - from].ready
                && !pipe.stalled
                && !self.is_cut(known.ends[from].node, known.ends[1 - from].node)
        })
    }

    /// The connection is gone from this end on; forgotten when it is gone from both.
    pub(crate) fn drop_end(&mut self, wire: u64, side: usize) {
        let Some(known) = self.wires.get_mut(&wire) else { return };
        known.ends[side].open = false;
        known.pipes[1 - side].empty();
        if known.ends.iter().all(|end| !end.open) && known.pipes.iter().all(|pipe| pipe.bytes.is_empty()) {
            self.wires.remove(&wire);
        }
    }

    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cuts.contains(&(from, to)) || self.dark.contains(&from) || self.dark.contains(&to)
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cuts.insert((from, to));
    }

    pub(crate) fn heal(&mut self, from: usize, to: usize) {
        self.cuts.remove(&(from, to));
    }

    /// Everything that is cut.
    pub(crate) fn cuts(&self) -> Vec<(usize, usize)> {
        self.cuts.iter().copied().collect()
    }

    pub(crate) fn darken(&mut self, host: usize) {
        self.dark.insert(host);
    }

    pub(crate) fn lighten(&mut self, host: usize) {
        self.dark.remove(&host);
    }

    /// The connections that have an end at this node, with the side.
    pub(crate) fn at(&self, node: usize) -> Vec<(u64, usize)> {
        let sides = self.wires.iter().flat_map(|(wire, known)| [(*wire, 0, known), (*wire, 1, known)]);
        let here = sides.filter(|(_, side, known)| known.ends[*side].node == node && known.ends[*side].open);
        here.map(|(wire, side, _)| (wire, side)).collect()
    }

    /// How far each direction is written.
    pub(crate) fn marks(&self) -> Vec<(u64, [u64; 2])> {
        self.wires
            .iter()
            .map(|(wire, known)| (*wire, known.pipes.each_ref().map(|pipe| pipe.written)))
            .collect()
    }

    /// Whether everything has left that was written up to these marks, and can leave at all.
    pub(crate) fn has_passed(&self, marks: &[(u64, [u64; 2])]) -> bool {
        let left =
            |wire: u64, side: usize| self.wires.get(&wire).map_or(u64::MAX, |known| known.pipes[side].left);
        let passed = |wire, side, until| left(wire, side) >= until || !self.can_move(wire, side);
        marks.iter().all(|(wire, until)| passed(*wire, 0, until[0]) && passed(*wire, 1, until[1]))
    }

    /// Bytes that were written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Connections that were made so far.
    pub(crate) fn made(&self) -> u64 {
        self.count
    }

    /// All connections.
    pub(crate) fn all(&self) -> Vec<u64> {
        self.wires.keys().copied().collect()
    }
}
