//! How a history is read, record by record.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::{Facts, Fault, Kill, LOST, Life, Monitor, Run, Sent};
use crate::check::{Bounds, micros};
use crate::history::{Event, FaultKind, History, Record, node_of};

impl<'a> Facts<'a> {
    pub(in crate::check) fn new(history: &'a History, bounds: &Bounds) -> Facts<'a> {
        let records = &history.records[..];
        let mut facts = Facts {
            records,
            sent: Vec::new(),
            received: FxHashMap::default(),
            ports: BTreeMap::new(),
            monitors: BTreeMap::new(),
            on_port: FxHashMap::default(),
            breaks: FxHashMap::default(),
            at_gate: FxHashMap::default(),
            unreadable: FxHashMap::default(),
            lives: BTreeMap::new(),
            kills: FxHashMap::default(),
            closed: FxHashMap::default(),
            faults: faults(records),
            quiet: None,
            first_rest: None,
            rest: None,
            end: records.len(),
            callers: FxHashMap::default(),
            outside: bounds.outside.map(micros),
            one_thread: bounds.one_thread,
        };
        for (at, record) in records.iter().enumerate() {
            facts.note(at, record);
        }
        facts.close_monitors();
        if facts.outside.is_some() {
            facts.suppose_gates();
        }
        facts
    }

    fn note(&mut self, at: usize, record: &'a Record) {
        let run: Run<'a> = (&record.node, record.inc);
        match &record.event {
            Event::Start { .. } => {
                self.lives.insert(run, Life { start: at, stop: None });
            }
            Event::Stop => {
                if let Some(life) = self.lives.get_mut(&run) {
                    life.stop = Some(at);
                }
            }
            Event::Snd { sid, p, k, hash, epoch, held } => {
                if *held {
                    self.at_gate.entry((run, p)).or_default().held.push(self.sent.len());
                }
                self.sent.push(Sent { at, enters: at, sid, p, k: *k, hash: *hash, epoch: *epoch });
            }
            Event::Opened { p } => self.open(at, run, p),
            Event::Rcv { k, hash, .. } => self.received.entry(*k).or_default().push((at, *hash)),
            Event::PortNew { p, task } => {
                let port = self.ports.entry(p).or_default();
                port.new.push(at);
                port.task = *task;
            }
            Event::PortClosed { p } => {
                self.closed.entry(p).or_insert(at);
            }
            Event::PortDied { p, reason } => self.ports.entry(p).or_default().died.push((at, reason)),
            Event::Kil { sid, p, reason, held } if !reason.is_empty() => {
                if *held {
                    self.at_gate.entry((run, p)).or_default().kills.push(reason);
                }
                self.kills.insert(reason, Kill { at, enters: at, sid, p });
            }
            Event::Mon { .. } => self.set(at, run, &record.event),
            Event::Link { m } => {
                if let Some(monitor) = self.monitors.get_mut(&(run, *m)) {
                    monitor.link = true;
                }
            }
            Event::Wait { m } => {
                if let Some(monitor) = self.monitors.get_mut(&(run, *m)) {
                    monitor.task = true;
                }
            }
            Event::Unmon { m } => {
                if let Some(monitor) = self.monitors.get_mut(&(run, *m)) {
                    monitor.withdrawn = Some(at);
                }
            }
            Event::Fire { m, reason } => {
                if let Some(monitor) = self.monitors.get_mut(&(run, *m)) {
                    monitor.fires.push((at, reason));
                }
            }
            Event::Call { sid, r, .. } => {
                self.callers.insert(r, sid);
            }
            // A connection that could not be made is lost as well, and nobody outside sees when.
            Event::Up { peer, .. } if self.outside.is_some() => {
                self.breaks.entry((run, peer)).or_default().push(at);
            }
            Event::Down { peer, .. } => self.breaks.entry((run, peer)).or_default().push(at),
            Event::Broke { peer, .. } => self.broke(at, run, peer),
            Event::Unreadable { p } => self.unreadable.entry((run, p)).or_default().push(at),
            Event::Quiet => self.quiet = Some(at),
            Event::Rest => {
                self.first_rest.get_or_insert(at);
                self.rest = Some(at);
            }
            Event::End => self.end = at,
            _ => {}
        }
    }

    /// Notes that a monitor is set.
    fn set(&mut self, at: usize, run: Run<'a>, event: &'a Event) {
        let Event::Mon { sid, m, p, to, waits } = event else { return };
        if *waits {
            self.at_gate.entry((run, p)).or_default().waiting.push(*m);
        }
        let monitor = Monitor {
            set: at,
            sid,
            waits: waits.then_some(usize::MAX),
            m: *m,
            p,
            to: to.as_deref(),
            task: false,
            link: false,
            withdrawn: None,
            fires: Vec::new(),
            over: usize::MAX,
        };
        self.monitors.insert((run, *m), monitor);
        self.on_port.entry((run, p)).or_default().push(*m);
    }

    /// Notes where each monitor is over: it is asked for very often.
    fn close_monitors(&mut self) {
        let mut monitors = std::mem::take(&mut self.monitors);
        for monitor in monitors.values_mut() {
            let fire = monitor.fires.first().map(|(fire, _)| *fire);
            monitor.over = fire.into_iter().chain(self.deaf(monitor)).min().unwrap_or(usize::MAX);
        }
        self.monitors = monitors;
    }

    /// Where nobody has seen the gates, a monitor may have been set on a gated port if another one
    /// on the port had not told its owner of a loss then.
    fn suppose_gates(&mut self) {
        let lost = |monitor: &Monitor<'_>| match monitor.fires.first() {
            Some((fire, reason)) if *fire == monitor.over => {
                reason.first().is_some_and(|first| first == LOST)
            }
            _ => monitor.over != usize::MAX,
        };
        for ((run, _), all) in &self.on_port {
            // Where the last one is over that was set before, and may have kept the gate closed.
            let mut closed = 0;
            for m in all {
                let Some(monitor) = self.monitors.get_mut(&(*run, *m)) else { continue };
                if monitor.set < closed {
                    monitor.waits = Some(usize::MAX);
                }
                if lost(monitor) {
                    closed = closed.max(monitor.over);
                }
            }
        }
    }

    /// Where a port has died a normal death.
    pub(super) fn normal_end(&self, port: &str) -> Option<usize> {
        let died = &self.ports.get(port)?.died;
        died.iter().find(|(_, reason)| reason.is_empty()).map(|(at, _)| *at)
    }

    /// An outbox broke: what was held is lost.
    fn broke(&mut self, at: usize, run: Run<'a>, peer: &'a str) {
        self.breaks.entry((run, peer)).or_default().push(at);
        let lost = self.at_gate.iter_mut().filter(|((of, p), _)| *of == run && node_of(p) == peer);
        lost.for_each(|(_, gate)| {
            gate.held.clear();
            gate.kills.clear();
        });
    }

    fn open(&mut self, at: usize, run: Run<'a>, port: &'a str) {
        let Some(gate) = self.at_gate.remove(&(run, port)) else { return };
        for held in gate.held {
            self.sent[held].enters = at;
        }
        for reason in gate.kills {
            if let Some(kill) = self.kills.get_mut(reason) {
                kill.enters = at;
            }
        }
        for m in gate.waiting {
            if let Some(monitor) = self.monitors.get_mut(&(run, m)) {
                monitor.waits = Some(at);
            }
        }
    }
}

/// When faults began and ended. That a node starts is one too: nobody knows it yet.
fn faults(records: &[Record]) -> Vec<Fault<'_>> {
    let mut open: BTreeMap<(FaultKind, &[String]), Vec<u64>> = BTreeMap::new();
    let mut faults = Vec::new();
    for record in records {
        let at = record.t;
        match &record.event {
            Event::Start { .. } => {
                faults.push(Fault {
                    kind: None,
                    from: at,
                    to: at,
                    nodes: std::slice::from_ref(&record.node),
                });
            }
            Event::Fault { kind, nodes } if kind.end().is_some() => {
                open.entry((*kind, nodes)).or_default().push(at);
            }
            Event::Fault { kind, nodes } => {
                faults.push(Fault { kind: Some(*kind), from: at, to: at, nodes });
                let over =
                    open.iter_mut().filter(|((begun, of), _)| begun.end() == Some(*kind) && of == nodes);
                for ((kind, _), begun) in over {
                    let kind = Some(*kind);
                    faults.extend(begun.drain(..).map(|from| Fault { kind, from, to: at, nodes }));
                }
            }
            _ => {}
        }
    }
    for ((kind, nodes), begun) in open {
        let kind = Some(kind);
        faults.extend(begun.into_iter().map(|from| Fault { kind, from, to: u64::MAX, nodes }));
    }
    faults
}
