//! Links: monitors that kill. Nothing of them is seen but the death, so the node looks at them when
//! something that they have to do with ends.

use aemp_ports::PortNo;
use aemp_proto::{PortId, Reason};

use super::Node;
use super::monitors::{Purpose, SimMonitor};
use super::verbs::reason_texts;
use crate::cx::Cx;
use crate::history::Event;

/// A monitor that kills a port.
pub(super) struct Linked {
    victim: PortNo,
    monitor: SimMonitor,
    /// The reason for which the port has to die, when the news of it is on the way.
    news: Option<Reason>,
}

impl Linked {
    /// Why its port dies, if it has told it to.
    fn killed(&self) -> Option<&Reason> {
        self.news.as_ref().filter(|_| !self.monitor.is_armed())
    }
}

impl Node {
    /// Lets a port of this node die with another one, if that dies abnormally.
    pub(crate) fn link(&mut self, me: &PortId, port: &PortId, cx: &mut Cx) -> u64 {
        self.set_monitor(me, port, (Some(me), Purpose::Kill), cx)
    }

    pub(super) fn link_to(&mut self, victim: PortNo, monitor: SimMonitor) {
        if monitor.port().is_some_and(|(_, kills)| kills) {
            self.linked.insert(monitor.id, Linked { victim, monitor, news: None });
        }
    }

    /// News of a death or loss is on its way to a port that has to die of it; of a normal death it
    /// does not.
    pub(super) fn news_for_link(&mut self, m: u64, reason: &Reason, cx: &mut Cx) {
        let Some(linked) = self.linked.get_mut(&m) else { return };
        linked.news = Some(reason.clone());
        if reason.is_normal() {
            self.link_fires(m, reason, cx);
        }
    }

    fn link_fires(&mut self, m: u64, reason: &Reason, cx: &mut Cx) {
        self.linked.remove(&m);
        self.monitors.remove(&m);
        self.record(Event::Fire { m, reason: reason_texts(reason) }, cx);
    }

    /// A monitor has told its owner: if that has to die of it, it does.
    pub(super) fn link_has_fired(&mut self, m: u64, cx: &mut Cx) {
        if let Some(reason) = self.linked.get(&m).and_then(Linked::killed).cloned() {
            self.link_fires(m, &reason, cx);
        }
    }

    /// A port has ended: news of it is on the way to those that are linked to it.
    pub(super) fn news_for_linked(&mut self, port: &PortId, reason: &Reason, cx: &mut Cx) {
        let to_it = self.linked.iter().filter(|(_, linked)| linked.monitor.target == *port);
        for m in to_it.map(|(m, _)| *m).collect::<Vec<u64>>() {
            self.news_for_link(m, reason, cx);
        }
    }

    /// A port is going to be seen to have ended: it may have died of a link.
    pub(super) fn victim_ends(&mut self, number: PortNo, cx: &mut Cx) {
        let of_it = self.linked.iter().filter(|(_, linked)| linked.victim == number);
        for m in of_it.map(|(m, _)| *m).collect::<Vec<u64>>() {
            self.link_has_fired(m, cx);
            self.linked.remove(&m);
        }
    }
}
