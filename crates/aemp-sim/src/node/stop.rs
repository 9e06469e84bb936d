//! How a node is shut down: what was sent before is delivered within a grace, and until then its
//! ports go on.

use std::time::Duration;

use aemp_proto::kernel::{LinkId, Time};

use super::Node;
use crate::cx::Cx;

/// How long the whole may take.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// How often somebody looks.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// How far a node has come that is being shut down.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopping {
    /// What waits for a connection waits until then.
    connect: Time,
    until: Time,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Connect,
    Relayed,
    Rest,
}

impl Node {
    /// Begins to end this run in order.
    pub(crate) fn shut_down(&mut self, cx: &mut Cx) {
        self.stopping =
            Some(Stopping { connect: cx.now + GRACE / 2, until: cx.now + GRACE, step: Step::Connect });
    }

    /// Whether it is being shut down: what is begun here fails.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// Goes on with it; true when it is done.
    pub(crate) fn stop_on(&mut self, cx: &mut Cx) -> bool {
        let Some(mut stopping) = self.stopping else { return true };
        let waits =
            self.remotes.values().any(|remote| remote.outbox.link().is_none() && remote.outbox.backlog() > 0);
        match stopping.step {
            Step::Connect if waits && cx.now < stopping.connect => {}
            Step::Connect => {
                let relayed: Vec<LinkId> = self.ends.values().copied().collect();
                self.close_all(&relayed, cx);
                stopping.step = Step::Relayed;
            }
            Step::Relayed if !self.ends.is_empty() && cx.now + GRACE / 4 < stopping.until => {}
            Step::Relayed => {
                let links = self.links.all();
                self.close_all(&links, cx);
                stopping.step = Step::Rest;
            }
            Step::Rest => {}
        }
        self.stopping = Some(stopping);
        self.settle(cx);
        stopping.step == Step::Rest && self.links.all().is_empty() || cx.now >= stopping.until
    }

    fn close_all(&mut self, links: &[LinkId], cx: &mut Cx) {
        for link in links {
            self.close_link(*link, "this node has ended", cx);
        }
    }
}
