//! What goes wrong, when, and how it is mended.

use std::time::Duration;

use super::World;
use crate::cx::Happening;
use crate::history::FaultKind;
use crate::node::{LOOK, Node};

/// A process is killed and started again at once in a part of all cases; this is at once.
const AT_ONCE: Duration = Duration::from_millis(50);

const KINDS: [FaultKind; 6] = [
    FaultKind::Reset,
    FaultKind::Cut,
    FaultKind::Crash,
    FaultKind::Shutdown,
    FaultKind::Pause,
    FaultKind::Stall,
];

impl World {
    /// Lets each kind of fault strike for the first time.
    pub(super) fn schedule_faults(&mut self) {
        for kind in KINDS {
            self.schedule_fault(kind);
        }
    }

    fn schedule_fault(&mut self, kind: FaultKind) {
        let faults = &self.cx.options.faults;
        let mean = match kind {
            FaultKind::Reset => faults.reset,
            FaultKind::Cut => faults.cut,
            FaultKind::Crash => faults.crash,
            FaultKind::Shutdown => faults.shutdown,
            FaultKind::Pause => faults.pause,
            FaultKind::Stall => faults.stall,
            _ => Duration::ZERO,
        };
        if !mean.is_zero() {
            let wait = self.cx.random.up_to(mean * 2);
            self.cx.after(wait, Happening::Strike(kind));
        }
    }

    /// Something goes wrong.
    pub(super) fn strike(&mut self, kind: FaultKind) {
        if self.quiet {
            return;
        }
        match kind {
            FaultKind::Reset => self.reset_some(),
            FaultKind::Cut => self.cut_some(),
            FaultKind::Crash => self.crash_some(),
            FaultKind::Shutdown => self.shut_some_down(),
            FaultKind::Pause => self.pause_some(),
            FaultKind::Stall => self.stall_some(),
            _ => {}
        }
        self.schedule_fault(kind);
    }

    /// It ends to do so.
    pub(super) fn relieve(&mut self, kind: FaultKind, a: usize, b: usize) {
        if self.quiet {
            return; // all is mended already
        }
        self.mend(kind, a, b);
    }

    /// Mends everything, and lets most nodes run again.
    pub(super) fn mend_all(&mut self) {
        for index in 0..self.hosts.len() {
            if self.hosts[index].node.as_deref().is_some_and(Node::is_stopping) {
                // It does not get to the end of its shutdown.
                self.fault(FaultKind::Crash, &[index]);
                self.end_process(index);
            }
        }
        for (a, b) in self.cx.net.cuts() {
            self.mend(FaultKind::Heal, a, b);
        }
        // Seeds that do not know each other need a node that knows them all.
        let needed = self.cx.options.seeds + usize::from(self.cx.options.seeds_apart);
        for a in 0..self.hosts.len() {
            self.mend(FaultKind::Resume, a, 0);
            if a < needed || self.cx.random.percent(70) {
                self.mend(FaultKind::Start, a, 0);
            }
        }
        for wire in self.cx.net.all() {
            for side in [0, 1] {
                self.mend(FaultKind::Flow, usize::try_from(wire).unwrap_or_default(), side);
            }
        }
        self.cx.travel_all();
    }

    fn mend(&mut self, kind: FaultKind, a: usize, b: usize) {
        match kind {
            FaultKind::Heal => {
                self.cx.net.heal(a, b);
                self.fault(kind, &[a, b]);
                self.cx.travel_all();
            }
            FaultKind::Resume if self.hosts[a].paused => {
                self.hosts[a].paused = false;
                self.fault(kind, &[a]);
                self.unstash(a);
            }
            FaultKind::Start if self.hosts[a].node.is_none() => {
                self.fault(kind, &[a]);
                self.start(a);
            }
            FaultKind::Flow => {
                let Some(wire) = self.cx.net.wire(a as u64) else { return };
                if std::mem::take(&mut wire.pipes[b].stalled) {
                    let nodes = [wire.ends[b].node, wire.ends[1 - b].node];
                    self.fault(kind, &nodes);
                    self.cx.travel_all();
                }
            }
            _ => {}
        }
    }

    fn relief_later(&mut self, kind: FaultKind, a: usize, b: usize) {
        let longest = self.cx.options.faults.longest;
        let longest = if self.cx.random.percent(20) { AT_ONCE } else { longest };
        let wait = self.cx.random.up_to(longest);
        self.cx.after(wait, Happening::Relief(kind, a, b));
    }

    fn reset_some(&mut self) {
        let wires = self.cx.net.all();
        let Some(wire) = self.cx.random.pick(&wires).copied() else { return };
        let (Some(a), Some(b)) = (self.end(wire, 0), self.end(wire, 1)) else { return };
        self.fault(FaultKind::Reset, &[a.node, b.node]);
        for side in [0, 1] {
            let wait = self.cx.latency();
            self.cx.after(wait, Happening::Reset { wire, side });
        }
    }

    fn cut_some(&mut self) {
        let count = self.hosts.len();
        let a = self.cx.random.below(count);
        let whole = self.cx.random.percent(30);
        let one = self.cx.random.below(count);
        let others: Vec<usize> = (0..count).filter(|b| *b != a && (whole || *b == one)).collect();
        let one_direction = self.cx.options.faults.one_direction;
        for b in others {
            let one_direction = self.cx.random.percent(one_direction);
            let directions = if one_direction { vec![(a, b)] } else { vec![(a, b), (b, a)] };
            for (from, to) in directions {
                self.cx.net.cut(from, to);
                self.fault(FaultKind::Cut, &[from, to]);
                self.relief_later(FaultKind::Heal, from, to);
            }
        }
    }

    fn crash_some(&mut self) {
        let running = self.running();
        let Some(index) = self.cx.random.pick(&running).copied().filter(|_| running.len() > 1) else {
            return;
        };
        self.fault(FaultKind::Crash, &[index]);
        if let Some(node) = self.hosts[index].node.take() {
            node.stop(&mut self.cx);
        }
        let ghosts = self.cx.options.faults.ghosts;
        let ghost = self.cx.random.percent(ghosts);
        if ghost {
            self.cx.net.darken(index);
        }
        for (wire, side) in self.cx.net.at(index) {
            if ghost {
                if let Some(wire) = self.cx.net.wire(wire) {
                    wire.ends[side].open = false;
                }
            } else if self.cx.random.percent(50) {
                self.cx.close(wire, side);
            } else {
                let wait = self.cx.latency();
                self.cx.net.drop_end(wire, side);
                self.cx.after(wait, Happening::Reset { wire, side: 1 - side });
            }
        }
        self.hosts[index].paused = false;
        self.unstash(index);
        self.relief_later(FaultKind::Start, index, 0);
    }

    fn shut_some_down(&mut self) {
        let running = self.running();
        let Some(index) = self.cx.random.pick(&running).copied().filter(|_| running.len() > 1) else {
            return;
        };
        if self.hosts[index].paused {
            return;
        }
        self.fault(FaultKind::Shutdown, &[index]);
        let Some(node) = &mut self.hosts[index].node else { return };
        self.work.say_goodbye(node, &mut self.cx);
        node.shut_down(&mut self.cx);
        self.cx.after(Duration::ZERO, Happening::Stopping(index, node.inc));
    }

    /// A node that is being shut down goes on with it.
    pub(super) fn stop_on(&mut self, index: usize, inc: u64) {
        let node = self.hosts[index].node.as_mut().filter(|node| node.inc == inc);
        let Some(over) = node.map(|node| node.stop_on(&mut self.cx)) else { return };
        if over {
            self.end_process(index);
            self.relief_later(FaultKind::Start, index, 0);
        } else {
            self.cx.after(LOOK, Happening::Stopping(index, inc));
        }
    }

    /// A process ends, and its host closes what it has left open.
    fn end_process(&mut self, index: usize) {
        if let Some(node) = self.hosts[index].node.take() {
            node.stop(&mut self.cx);
        }
        for (wire, side) in self.cx.net.at(index) {
            self.cx.close(wire, side);
        }
    }

    fn pause_some(&mut self) {
        let running = self.running();
        let Some(index) = self.cx.random.pick(&running).copied() else { return };
        if !std::mem::replace(&mut self.hosts[index].paused, true) {
            self.fault(FaultKind::Pause, &[index]);
            self.relief_later(FaultKind::Resume, index, 0);
        }
    }

    fn stall_some(&mut self) {
        let wires = self.cx.net.all();
        let Some(id) = self.cx.random.pick(&wires).copied() else { return };
        let side = self.cx.random.below(2);
        let Some(wire) = self.cx.net.wire(id) else { return };
        wire.pipes[side].stalled = true;
        let nodes = [wire.ends[side].node, wire.ends[1 - side].node];
        self.fault(FaultKind::Stall, &nodes);
        self.relief_later(FaultKind::Flow, usize::try_from(id).unwrap_or_default(), side);
    }

    /// What happened to a process while it was stopped happens now.
    fn unstash(&mut self, index: usize) {
        for happening in std::mem::take(&mut self.hosts[index].stash) {
            self.cx.after(Duration::ZERO, happening);
        }
    }
}
