//! Who is to be asked for his connections, along which way, and when to stop waiting. Without input, output or a clock.
//!
//! A node is asked through the nodes that led to it: that needs no new connections, and reaches nodes that nobody can dial. If
//! nothing has come back after half of the time it is asked directly too.

use std::collections::BTreeMap;
use std::time::Duration;

use aemp::NodeId;

use super::network::{Network, Seen};

/// Time since the start of the survey.
pub(super) type Time = Duration;

/// The most nodes that pass a question on: the answer comes back over them too, and nodes refuse more than 32 hops.
const RELAYS_MAX: usize = 15;

/// A node to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) node: NodeId,
    /// The nodes that pass the question on, nearest first; none if it is asked directly.
    pub(super) way: Vec<NodeId>,
}

/// What is known of a network while it is explored.
#[derive(Debug)]
pub(super) struct Survey {
    /// The node that asks. It does not belong to what it explores.
    me: NodeId,
    /// How long each node has for its answer.
    limit: Duration,
    roots: Vec<NodeId>,
    asked: BTreeMap<NodeId, Asked>,
}

#[derive(Debug)]
struct Asked {
    way: Vec<NodeId>,
    since: Time,
    /// Whether it was asked directly.
    directly: bool,
    /// Whether its time is over.
    over: bool,
    seen: Seen,
}

impl Survey {
    pub(super) fn new(me: NodeId, limit: Duration) -> Survey {
        Survey { me, limit, roots: Vec::new(), asked: BTreeMap::new() }
    }

    /// Begins at this node, unless it is known already.
    pub(super) fn begin_at(&mut self, node: &NodeId, now: Time) -> Option<Question> {
        let question = self.meet(node, Vec::new(), now)?;
        self.roots.push(node.clone());
        Some(question)
    }

    /// A node has told its neighbours, with the relay of those whose connection is carried. The first answer counts.
    pub(super) fn answered(
        &mut self,
        node: &NodeId,
        mut neighbours: BTreeMap<NodeId, Option<NodeId>>,
        now: Time,
    ) -> Vec<Question> {
        let Some(asked) = self.asked.get_mut(node) else { return Vec::new() };
        if matches!(asked.seen, Seen::Neighbours(_)) {
            return Vec::new();
        }
        neighbours.remove(&self.me);
        neighbours.remove(node);
        asked.seen = Seen::Neighbours(neighbours.clone());
        let way: Vec<NodeId> = asked.way.iter().chain([node]).cloned().collect();
        neighbours.keys().filter_map(|neighbour| self.meet(neighbour, way.clone(), now)).collect()
    }

    /// A node does not say what it is asked.
    pub(super) fn refused(&mut self, node: &NodeId, why: String) {
        if let Some(asked) = self.asked.get_mut(node).filter(|asked| asked.is_open()) {
            asked.seen = Seen::Refused(why);
        }
    }

    /// There is no connection to a node that was asked directly. An answer may still come by another way.
    pub(super) fn unreachable(&mut self, node: &NodeId, why: String) {
        if let Some(asked) = self.asked.get_mut(node).filter(|asked| asked.is_open()) {
            asked.over |= asked.way.is_empty();
            asked.seen = Seen::Nothing(Some(why));
        }
    }

    /// What is to be asked again, directly, because it is time.
    pub(super) fn due(&mut self, now: Time) -> Vec<Question> {
        let mut questions = Vec::new();
        for (node, asked) in &mut self.asked {
            if asked.is_open() && !asked.directly && asked.since + self.limit / 2 <= now {
                asked.directly = true;
                questions.push(Question { node: node.clone(), way: Vec::new() });
            }
            asked.over |= asked.since + self.limit <= now;
        }
        questions
    }

    /// When there will be something to be done; `None` when nothing is waited for any more.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        let open = self.asked.values().filter(|asked| asked.is_open());
        open.map(|asked| asked.since + if asked.directly { self.limit } else { self.limit / 2 }).min()
    }

    /// What was found out.
    pub(super) fn into_network(self) -> Network {
        let nodes = self.asked.into_iter().map(|(node, asked)| (node, asked.seen)).collect();
        Network { roots: self.roots, nodes }
    }

    fn meet(&mut self, node: &NodeId, mut way: Vec<NodeId>, now: Time) -> Option<Question> {
        if *node == self.me || self.asked.contains_key(node) {
            return None;
        }
        if way.len() > RELAYS_MAX {
            way.clear();
        }
        let directly = way.is_empty();
        let asked = Asked { way: way.clone(), since: now, directly, over: false, seen: Seen::Nothing(None) };
        self.asked.insert(node.clone(), asked);
        Some(Question { node: node.clone(), way })
    }
}

impl Asked {
    fn is_open(&self) -> bool {
        !self.over && matches!(self.seen, Seen::Nothing(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(4);

    fn node(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    fn neighbours(names: &[&str]) -> BTreeMap<NodeId, Option<NodeId>> {
        names.iter().map(|name| (node(name), None)).collect()
    }

    fn question(name: &str, way: &[&str]) -> Question {
        Question { node: node(name), way: way.iter().map(|name| node(name)).collect() }
    }

    fn secs(seconds: u64) -> Time {
        Duration::from_secs(seconds)
    }

    #[test]
    fn everybody_is_asked_once_through_those_who_led_there() {
        let mut survey = Survey::new(node("me"), LIMIT);
        assert_eq!(survey.begin_at(&node("a"), secs(0)), Some(question("a", &[])));
        assert_eq!(survey.begin_at(&node("a"), secs(0)), None);
        let next = survey.answered(&node("a"), neighbours(&["me", "a", "b", "c"]), secs(1));
        assert_eq!(next, [question("b", &["a"]), question("c", &["a"])]);
        let next = survey.answered(&node("c"), neighbours(&["a", "b", "d"]), secs(1));
        assert_eq!(next, [question("d", &["a", "c"])]);
        assert!(survey.answered(&node("c"), neighbours(&["e"]), secs(1)).is_empty());
        assert!(survey.answered(&node("stranger"), neighbours(&["e"]), secs(1)).is_empty());
        assert!(survey.answered(&node("b"), neighbours(&["a", "c"]), secs(1)).is_empty());
        assert!(survey.answered(&node("d"), neighbours(&["c"]), secs(1)).is_empty());
        assert_eq!(survey.next_timeout(), None);
        let network = survey.into_network();
        assert_eq!(network.roots, [node("a")]);
        assert_eq!(network.nodes[&node("c")], Seen::Neighbours(neighbours(&["a", "b", "d"])));
    }

    #[test]
    fn a_node_that_is_too_far_away_is_asked_directly() {
        let mut survey = Survey::new(node("me"), LIMIT);
        let names: Vec<String> = (0..40).map(|n| format!("n{n}")).collect();
        survey.begin_at(&node(&names[0]), secs(0));
        let mut relays = Vec::new();
        for pair in names.windows(2) {
            let questions = survey.answered(&node(&pair[0]), neighbours(&[&pair[1]]), secs(0));
            relays.push(questions[0].way.len());
        }
        assert_eq!(relays[..RELAYS_MAX + 1], [&(1..=RELAYS_MAX).collect::<Vec<_>>()[..], &[0]].concat());
        assert!(relays.iter().all(|relays| *relays <= RELAYS_MAX));
    }

    #[test]
    fn who_is_silent_is_asked_directly_and_then_given_up() {
        let mut survey = Survey::new(node("me"), LIMIT);
        survey.begin_at(&node("a"), secs(0));
        survey.answered(&node("a"), neighbours(&["b"]), secs(1));
        assert_eq!(survey.next_timeout(), Some(secs(3)));
        assert!(survey.due(secs(2)).is_empty());
        assert_eq!(survey.due(secs(3)), [question("b", &[])]);
        assert_eq!(survey.next_timeout(), Some(secs(5)));
        survey.unreachable(&node("b"), "no known address".into());
        assert_eq!(survey.next_timeout(), Some(secs(5)), "the relayed question may still be answered");
        assert!(survey.due(secs(5)).is_empty());
        assert_eq!(survey.next_timeout(), None);
        let network = survey.into_network();
        assert_eq!(network.nodes[&node("b")], Seen::Nothing(Some("no known address".into())));
    }

    #[test]
    fn nobody_waits_for_a_start_that_cannot_be_reached_or_refuses() {
        let mut survey = Survey::new(node("me"), LIMIT);
        survey.begin_at(&node("a"), secs(0));
        survey.begin_at(&node("b"), secs(0));
        survey.unreachable(&node("a"), "no known address".into());
        survey.refused(&node("b"), "eval is refused".into());
        assert_eq!(survey.next_timeout(), None);
    }

    #[test]
    fn a_late_answer_counts() {
        let mut survey = Survey::new(node("me"), LIMIT);
        survey.begin_at(&node("a"), secs(0));
        survey.begin_at(&node("b"), secs(3));
        survey.due(secs(4));
        assert_eq!(survey.next_timeout(), Some(secs(7)));
        assert_eq!(survey.answered(&node("a"), neighbours(&["c"]), secs(5)), [question("c", &["a"])]);
    }
}
