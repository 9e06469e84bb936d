//! What goes wrong, and when: drawn from the seed, mended after a while.

use std::sync::Arc;
use std::time::Duration;

use aemp_sim::history::FaultKind;
use rustix::process::Signal;
use tokio::time::Instant;

use crate::node::Command;
use crate::proxy::{End, Link};
use crate::supervisor::Run;

/// What ends a fault.
pub(crate) enum Relief {
    Heal(usize, usize),
    Flow(Arc<Link>, usize),
    Resume(usize),
    Start(usize),
}

/// A process that is shut down and does not end within this time has failed.
const SHUTDOWN: Duration = Duration::from_secs(15);

impl Run {
    /// Something goes wrong.
    pub(crate) async fn strike(&mut self) -> std::io::Result<()> {
        let most = if self.plan.processes { 100 } else { 70 };
        match self.random.below(most) {
            0..25 => self.end_a_link(),
            25..45 => self.stop_a_direction(),
            45..55 => self.slow_a_direction(),
            55..70 => self.cut_two_nodes(),
            70..80 => self.crash().await?,
            80..88 => self.shut_down(),
            _ => self.pause(),
        }
        Ok(())
    }

    fn some_link(&mut self) -> Option<Arc<Link>> {
        let links = self.network.links();
        self.random.pick(&links).cloned()
    }

    fn end_a_link(&mut self) {
        let Some(link) = self.some_link() else { return };
        let how = match self.random.below(4) {
            0 | 1 => End::Reset,
            2 => End::Close,
            _ => End::OneSide(self.random.below(2)),
        };
        self.fault(FaultKind::Reset, &link.ends());
        self.cuts += 1;
        link.end(how);
    }

    fn stop_a_direction(&mut self) {
        let Some(link) = self.some_link() else { return };
        let both = self.random.percent(50);
        let first = self.random.below(2);
        for route in if both { vec![0, 1] } else { vec![first] } {
            link.set_route(route, |mode| mode.stalled = true);
            self.stall(&link, route);
        }
    }

    fn slow_a_direction(&mut self) {
        let Some(link) = self.some_link() else { return };
        let route = self.random.below(2);
        link.set_route(route, |mode| mode.slow = true);
        self.stall(&link, route);
    }

    fn stall(&mut self, link: &Arc<Link>, route: usize) {
        let mut nodes = link.ends();
        nodes.rotate_left(route);
        self.fault(FaultKind::Stall, &nodes);
        self.later(Relief::Flow(link.clone(), route));
    }

    fn cut_two_nodes(&mut self) {
        let (a, b) = (self.random.below(self.plan.nodes), self.random.below(self.plan.nodes));
        if a == b {
            return;
        }
        let one_direction = self.random.percent(40);
        for (a, b) in if one_direction { vec![(a, b)] } else { vec![(a, b), (b, a)] } {
            let nodes = [a, b].map(|node| self.plan.name(node).to_owned());
            self.fault(FaultKind::Cut, &nodes);
            self.network.cut(&nodes[0], &nodes[1], true);
            self.later(Relief::Heal(a, b));
        }
    }

    /// The number of a node that runs and is not being shut down, if others do as well.
    fn victim(&mut self) -> Option<usize> {
        let running: Vec<usize> = (0..self.plan.nodes)
            .filter(|n| self.slots[*n].process.is_some() && self.slots[*n].ending.is_none())
            .collect();
        if running.len() < 2 { None } else { self.random.pick(&running).copied() }
    }

    async fn crash(&mut self) -> std::io::Result<()> {
        let Some(node) = self.victim() else { return Ok(()) };
        self.fault(FaultKind::Crash, &[self.plan.name(node).to_owned()]);
        self.kills += 1;
        self.stop(node).await?;
        self.later(Relief::Start(node));
        Ok(())
    }

    fn shut_down(&mut self) {
        let Some(node) = self.victim() else { return };
        let slot = &mut self.slots[node];
        if slot.paused {
            return;
        }
        slot.ending = Some(Instant::now() + SHUTDOWN);
        if let Some(process) = &slot.process {
            process.tell(Command::Shutdown);
        }
        self.network.target(self.plan.name(node), None);
    }

    fn pause(&mut self) {
        let Some(node) = self.victim() else { return };
        if std::mem::replace(&mut self.slots[node].paused, true) {
            return;
        }
        self.fault(FaultKind::Pause, &[self.plan.name(node).to_owned()]);
        if let Some(process) = &self.slots[node].process {
            process.signal(Signal::STOP);
        }
        self.later(Relief::Resume(node));
    }

    pub(crate) fn later(&mut self, relief: Relief) {
        let wait = if self.random.percent(20) {
            Duration::from_millis(20)
        } else {
            self.random.up_to(self.plan.longest)
        };
        self.reliefs.push((Instant::now() + wait, relief));
    }

    /// A fault ends.
    pub(crate) fn relieve(&mut self, relief: Relief) -> std::io::Result<()> {
        match relief {
            Relief::Heal(a, b) => {
                let nodes = [a, b].map(|node| self.plan.name(node).to_owned());
                self.network.cut(&nodes[0], &nodes[1], false);
                self.fault(FaultKind::Heal, &nodes);
            }
            Relief::Flow(link, route) => {
                link.set_route(route, |mode| (mode.stalled, mode.slow) = (false, false));
                let mut nodes = link.ends();
                nodes.rotate_left(route);
                self.fault(FaultKind::Flow, &nodes);
            }
            Relief::Resume(node) => self.resume(node),
            Relief::Start(node) => self.start(node)?,
        }
        Ok(())
    }

    pub(crate) fn resume(&mut self, node: usize) {
        if !std::mem::replace(&mut self.slots[node].paused, false) {
            return;
        }
        if let Some(process) = &self.slots[node].process {
            process.signal(Signal::CONT);
        }
        self.fault(FaultKind::Resume, &[self.plan.name(node).to_owned()]);
    }
}
