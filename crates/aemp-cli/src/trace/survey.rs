//! Who is to be asked for his connections, along which way, and when to stop waiting. Without
//! input, output or a clock.
//!
//! A node is asked through the nodes that led to it: that needs no new connections, and reaches
//! nodes that nobody can dial. If nothing has come back after half of the time it is asked directly
//! too.

use std::collections::BTreeMap;
use std::time::Duration;

use aemp::NodeId;

use super::network::{Network, Seen};

/// The survey ends after this multiple of the time that each node has, even if answers still name
/// further nodes: a hostile node can make them up.
const TIMES: u32 = 4;

/// Nodes that are asked. A network is larger than this in theory, and a tree of it is not for
/// reading.
const NODES_MAX: usize = 4096;

/// Bytes of all that is told: names, and what each takes beside.
const TOLD_MAX: usize = 16 << 20;

/// What a neighbour is reckoned with beside its name and that of its relay.
const NEIGHBOUR: usize = 128;

/// Time since the start of the survey.
pub(super) type Time = Duration;

/// The most nodes that pass a question on: the answer comes back over them too, and nodes refuse
/// more than 32 hops.
const RELAYS_MAX: usize = 15;

/// A node to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) node: NodeId,
    /// The nodes that pass the question on, nearest first; none if it is asked directly.
    pub(super) route: Vec<NodeId>,
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
    /// Bytes that may still be told.
    room: usize,
    /// Whether more was told than is kept, or told too late.
    cut: bool,
}

#[derive(Debug)]
struct Asked {
    route: Vec<NodeId>,
    since: Time,
    /// Whether it was asked directly.
    directly: bool,
    /// Whether its time is over.
    over: bool,
    seen: Seen,
}

impl Survey {
    pub(super) fn new(me: NodeId, limit: Duration) -> Survey {
        Survey { me, limit, roots: Vec::new(), asked: BTreeMap::new(), room: TOLD_MAX, cut: false }
    }

    /// Begins at this node, unless it is known already.
    pub(super) fn begin_at(&mut self, node: &NodeId, now: Time) -> Option<Question> {
        let question = self.meet(node, Vec::new(), now)?;
        self.roots.push(node.clone());
        Some(question)
    }

    /// A node has told its neighbours, with the relay of those whose connection is carried. The
    /// first answer counts.
    pub(super) fn answered(
        &mut self,
        node: &NodeId,
        mut neighbours: BTreeMap<NodeId, Option<NodeId>>,
        now: Time,
    ) -> Vec<Question> {
        if self.asked.get(node).is_none_or(|asked| matches!(asked.seen, Seen::Neighbours(_))) {
            return Vec::new();
        }
        neighbours.remove(&self.me);
        neighbours.remove(node);
        self.keep_what_there_is_room_for(&mut neighbours);
        let Some(asked) = self.asked.get_mut(node) else { return Vec::new() };
        asked.seen = Seen::Neighbours(neighbours.clone());
        let route: Vec<NodeId> = asked.route.iter().chain([node]).cloned().collect();
        neighbours.keys().filter_map(|neighbour| self.meet(neighbour, route.clone(), now)).collect()
    }

    /// Leaves out neighbours that would be too many, with those that are known already.
    fn keep_what_there_is_room_for(&mut self, neighbours: &mut BTreeMap<NodeId, Option<NodeId>>) {
        let mut unknown = NODES_MAX.saturating_sub(self.asked.len());
        neighbours.retain(|node, relay| {
            let bytes =
                NEIGHBOUR + node.as_str().len() + relay.as_ref().map_or(0, |relay| relay.as_str().len());
            let is_new = !self.asked.contains_key(node);
            let fits = bytes <= self.room && (unknown > 0 || !is_new);
            if fits {
                self.room -= bytes;
                unknown -= usize::from(is_new);
            }
            self.cut |= !fits;
            fits
        });
    }

    /// A node does not say what it is asked.
    pub(super) fn refused(&mut self, node: &NodeId, why: String) {
        if let Some(asked) = self.asked.get_mut(node).filter(|asked| asked.is_open()) {
            asked.seen = Seen::Refused(why);
        }
    }

    /// There is no connection to a node that was asked directly. An answer may still come by
    /// another way.
    pub(super) fn unreachable(&mut self, node: &NodeId, why: String) {
        if let Some(asked) = self.asked.get_mut(node).filter(|asked| asked.is_open()) {
            asked.over |= asked.route.is_empty();
            asked.seen = Seen::Nothing(Some(why));
        }
    }

    /// What is to be asked again, directly, because it is time.
    pub(super) fn due(&mut self, now: Time) -> Vec<Question> {
        let mut questions = Vec::new();
        for (node, asked) in &mut self.asked {
            if asked.is_open() && !asked.directly && asked.since + self.limit / 2 <= now {
                asked.directly = true;
                questions.push(Question { node: node.clone(), route: Vec::new() });
            }
            asked.over |= asked.since + self.limit <= now;
        }
        if self.is_over(now) {
            questions.clear();
            self.cut |= self.asked.values().any(Asked::is_open);
            self.asked.values_mut().for_each(|asked| asked.over = true);
        }
        questions
    }

    /// When there will be something to be done; `None` when nothing is waited for any more.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        let open = self.asked.values().filter(|asked| asked.is_open());
        let next =
            open.map(|asked| asked.since + if asked.directly { self.limit } else { self.limit / 2 }).min();
        next.map(|next| next.min(self.limit * TIMES))
    }

    fn is_over(&self, now: Time) -> bool {
        now >= self.limit * TIMES
    }

    /// What was found out.
    pub(super) fn into_network(self) -> Network {
        let nodes = self.asked.into_iter().map(|(node, asked)| (node, asked.seen)).collect();
        Network { roots: self.roots, nodes, cut: self.cut }
    }

    fn meet(&mut self, node: &NodeId, mut route: Vec<NodeId>, now: Time) -> Option<Question> {
        if *node == self.me || self.asked.contains_key(node) {
            return None;
        }
        if self.asked.len() >= NODES_MAX {
            self.cut = true;
            return None;
        }
        if route.len() > RELAYS_MAX {
            route.clear();
        }
        let directly = route.is_empty();
        let over = self.is_over(now);
        self.cut |= over;
        let asked = Asked { route: route.clone(), since: now, directly, over, seen: Seen::Nothing(None) };
        self.asked.insert(node.clone(), asked);
        (!over).then(|| Question { node: node.clone(), route })
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

    fn question(name: &str, route: &[&str]) -> Question {
        Question { node: node(name), route: route.iter().map(|name| node(name)).collect() }
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
            relays.push(questions[0].route.len());
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

    /// Everybody who is asked answers at once, with names that nobody has heard of.
    fn lie(survey: &mut Survey, names: impl Fn(usize) -> Vec<String>, step: Duration) -> (usize, Time) {
        let (mut now, mut asked) = (secs(0), 0);
        let mut waiting: Vec<Question> = survey.begin_at(&node("a"), now).into_iter().collect();
        while let Some(question) = waiting.pop() {
            asked += 1;
            now += step;
            let told = names(asked).iter().map(|name| (node(name), None)).collect();
            waiting.extend(survey.answered(&question.node, told, now));
            waiting.extend(survey.due(now));
        }
        (asked, now)
    }

    #[test]
    fn nodes_that_are_made_up_have_an_end() {
        let mut survey = Survey::new(node("me"), LIMIT);
        let (asked, _) = lie(&mut survey, |n| (0..100).map(|k| format!("n{n}-{k}")).collect(), secs(0));
        assert_eq!(asked, NODES_MAX);
        let network = survey.into_network();
        assert!(network.cut && network.nodes.len() == NODES_MAX);
    }

    #[test]
    fn what_is_told_of_known_nodes_has_an_end() {
        let mut survey = Survey::new(node("me"), LIMIT);
        let long = "x".repeat(1000);
        let names = |n| (0..if n < 10 { 4000 } else { 0 }).map(|k| format!("{long}{k}")).collect();
        lie(&mut survey, names, secs(0));
        let network = survey.into_network();
        let told = |seen: &Seen| match seen {
            Seen::Neighbours(neighbours) => neighbours.keys().map(|node| node.as_str().len()).sum(),
            _ => 0,
        };
        assert!(network.cut && network.nodes.values().map(told).sum::<usize>() <= TOLD_MAX);
    }

    #[test]
    fn a_chain_that_goes_on_for_ever_has_an_end() {
        let mut survey = Survey::new(node("me"), LIMIT);
        let (_, end) = lie(&mut survey, |n| vec![format!("n{n}")], secs(1));
        assert!(end <= LIMIT * TIMES + secs(1), "{end:?}");
        assert_eq!(survey.next_timeout(), None);
        assert!(survey.into_network().cut);
        let mut survey = Survey::new(node("me"), LIMIT);
        survey.begin_at(&node("a"), secs(0));
        survey.answered(&node("a"), neighbours(&["b"]), LIMIT * TIMES - secs(1));
        assert_eq!(survey.next_timeout(), Some(LIMIT * TIMES));
        assert!(survey.due(LIMIT * TIMES).is_empty());
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
