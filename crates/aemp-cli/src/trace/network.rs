//! What a survey has found: the nodes, what each has told, and the connections that follow from it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aemp::NodeId;

/// How deep a tree is drawn; what is farther away begins another one. Nodes can tell of as long a
/// chain as they like.
const DEPTH_MAX: usize = 100;

/// What a node has told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing, and why, if that is known.
    Nothing(Option<String>),
    /// That it does not say.
    Refused(String),
    /// To whom it is connected, and the relay of those whose connection is carried.
    Neighbours(BTreeMap<NodeId, Option<NodeId>>),
}

/// Nodes and their connections.
#[derive(Debug)]
pub(super) struct Network {
    /// Where the survey began.
    pub(super) roots: Vec<NodeId>,
    /// All nodes; anyone who is a neighbour of one is among them.
    pub(super) nodes: BTreeMap<NodeId, Seen>,
    /// Whether the nodes have told of more than is in here.
    pub(super) cut: bool,
}

/// A connection between two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connection<'a> {
    /// The two nodes, in their order.
    pub(super) ends: [&'a NodeId; 2],
    /// Which of the two have told of it.
    pub(super) seen: [bool; 2],
    /// The node that carries it, if it is no connection of its own.
    pub(super) relayed_by: Option<&'a NodeId>,
    /// Whether one end denies it: both have told their connections, and it is in one list only.
    pub(super) one_sided: bool,
}

impl<'a> Connection<'a> {
    /// Those that have told of it.
    pub(super) fn seen_by(&self) -> impl Iterator<Item = &'a NodeId> {
        self.ends.into_iter().zip(self.seen).filter_map(|(end, seen)| seen.then_some(end))
    }

    /// The other end.
    pub(super) fn other(&self, end: &NodeId) -> &'a NodeId {
        if self.ends[0] == end { self.ends[1] } else { self.ends[0] }
    }
}

/// A node where the network is written as a tree.
#[derive(Debug)]
pub(super) struct Branch<'a> {
    pub(super) node: &'a NodeId,
    /// The connection that leads here; none at a root.
    pub(super) from: Option<Connection<'a>>,
    /// Connections to nodes that are written above, and that the tree does not follow.
    pub(super) also: Vec<Connection<'a>>,
    pub(super) children: Vec<Branch<'a>>,
}

impl Network {
    /// All connections, each once.
    pub(super) fn connections(&self) -> Vec<Connection<'_>> {
        let mut pairs = BTreeSet::new();
        for (node, seen) in &self.nodes {
            if let Seen::Neighbours(neighbours) = seen {
                pairs.extend(neighbours.keys().map(|other| (node.min(other), node.max(other))));
            }
        }
        pairs.into_iter().map(|(one, other)| self.connection(one, other)).collect()
    }

    fn connection<'a>(&'a self, one: &'a NodeId, other: &'a NodeId) -> Connection<'a> {
        let views = [self.neighbours(one), self.neighbours(other)];
        let [there, back] =
            [views[0].and_then(|view| view.get(other)), views[1].and_then(|view| view.get(one))];
        Connection {
            ends: [one, other],
            seen: [there.is_some(), back.is_some()],
            relayed_by: [there, back].into_iter().flatten().flatten().next(),
            one_sided: views.iter().all(Option::is_some) && there.is_some() != back.is_some(),
        }
    }

    fn neighbours(&self, node: &NodeId) -> Option<&BTreeMap<NodeId, Option<NodeId>>> {
        match self.nodes.get(node)? {
            Seen::Neighbours(neighbours) => Some(neighbours),
            Seen::Nothing(_) | Seen::Refused(_) => None,
        }
    }

    /// Those that have not told their connections.
    pub(super) fn silent(&self) -> Vec<&NodeId> {
        self.nodes.keys().filter(|node| self.neighbours(node).is_none()).collect()
    }

    /// The network as trees in which every node appears once, as near to the root as its
    /// connections allow.
    pub(super) fn trees(&self) -> Vec<Branch<'_>> {
        let mut of_node: BTreeMap<&NodeId, Vec<Connection<'_>>> = BTreeMap::new();
        for connection in self.connections() {
            for end in connection.ends {
                of_node.entry(end).or_default().push(connection);
            }
        }
        let children = self.children(&of_node);
        let mut trees =
            Trees { of_node, children, written: BTreeSet::new(), roots: self.roots.iter().collect() };
        let mut branches = Vec::new();
        while let Some(root) = trees.roots.pop_front() {
            if !trees.written.contains(root) {
                branches.push(trees.branch(root, None, DEPTH_MAX));
            }
        }
        branches
    }

    /// The connections that a search in breadth follows.
    fn children<'a>(
        &'a self,
        of_node: &BTreeMap<&'a NodeId, Vec<Connection<'a>>>,
    ) -> BTreeMap<&'a NodeId, Vec<Connection<'a>>> {
        let mut children: BTreeMap<&NodeId, Vec<Connection<'_>>> = BTreeMap::new();
        let mut found = BTreeSet::new();
        for root in &self.roots {
            let mut waiting = VecDeque::new();
            if found.insert(root) {
                waiting.push_back(root);
            }
            while let Some(node) = waiting.pop_front() {
                for connection in of_node.get(node).into_iter().flatten() {
                    let other = connection.other(node);
                    if found.insert(other) {
                        children.entry(node).or_default().push(*connection);
                        waiting.push_back(other);
                    }
                }
            }
        }
        children
    }
}

/// Trees while they are written.
struct Trees<'a> {
    of_node: BTreeMap<&'a NodeId, Vec<Connection<'a>>>,
    children: BTreeMap<&'a NodeId, Vec<Connection<'a>>>,
    written: BTreeSet<&'a NodeId>,
    /// Where trees begin that are not written yet.
    roots: VecDeque<&'a NodeId>,
}

impl<'a> Trees<'a> {
    fn branch(&mut self, node: &'a NodeId, from: Option<Connection<'a>>, depth: usize) -> Branch<'a> {
        let all = self.of_node.get(node).into_iter().flatten();
        let above = all.filter(|one| Some(**one) != from && self.written.contains(one.other(node)));
        let also = above.copied().collect();
        self.written.insert(node);
        let children = self.children.get(node).cloned().unwrap_or_default();
        let Some(depth) = depth.checked_sub(1) else {
            self.roots.extend(children.into_iter().map(|one| one.other(node)));
            return Branch { node, from, also, children: Vec::new() };
        };
        let children =
            children.into_iter().map(|one| self.branch(one.other(node), Some(one), depth)).collect();
        Branch { node, from, also, children }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::trace) fn node(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    /// A network in which these nodes have told these neighbours; everybody else has told nothing.
    /// `x@r` is carried by `r`.
    pub(in crate::trace) fn network(roots: &[&str], told: &[(&str, &[&str])]) -> Network {
        let mut nodes = BTreeMap::new();
        for (name, neighbours) in told {
            let neighbour = |text: &&str| match text.split_once('@') {
                Some((name, relay)) => (node(name), Some(node(relay))),
                None => (node(text), None),
            };
            let neighbours: BTreeMap<_, _> = neighbours.iter().map(neighbour).collect();
            for other in neighbours.keys() {
                nodes.entry(other.clone()).or_insert(Seen::Nothing(None));
            }
            nodes.insert(node(name), Seen::Neighbours(neighbours));
        }
        Network { roots: roots.iter().map(|name| node(name)).collect(), nodes, cut: false }
    }

    #[test]
    fn a_connection_is_one_sided_only_if_both_ends_have_told() {
        let network = network(
            &["a"],
            &[("a", &["b", "c", "d@b"]), ("b", &["a", "d"]), ("c", &[]), ("d", &["b", "a@b"])],
        );
        let all = network.connections();
        let find = |ends: [&str; 2]| all.iter().find(|one| one.ends.map(NodeId::as_str) == ends).unwrap();
        assert_eq!(all.len(), 4);
        assert!(!find(["a", "b"]).one_sided);
        assert!(find(["a", "c"]).one_sided);
        assert_eq!(find(["a", "c"]).seen, [true, false]);
        assert_eq!(find(["a", "d"]).relayed_by, Some(&node("b")));
        let unknown = super::tests::network(&["a"], &[("a", &["b"])]);
        assert_eq!(unknown.connections()[0].seen, [true, false]);
        assert!(!unknown.connections()[0].one_sided, "b may see it and has not told");
        assert_eq!(unknown.silent(), [&node("b")]);
    }

    #[test]
    fn a_chain_as_long_as_somebody_likes_does_not_overflow_the_stack() {
        let names: Vec<String> = (0..50_000).map(|n| format!("n{n:05}")).collect();
        let told: Vec<(&str, Vec<&str>)> =
            names.windows(2).map(|pair| (&*pair[0], vec![&*pair[1]])).collect();
        let told: Vec<(&str, &[&str])> = told.iter().map(|(name, others)| (*name, &others[..])).collect();
        let network = network(&["n00000"], &told);
        let (mut nodes, mut waiting) = (0, network.trees());
        while let Some(branch) = waiting.pop() {
            nodes += 1;
            waiting.extend(branch.children);
        }
        assert_eq!(nodes, names.len());
    }

    #[test]
    fn every_node_and_every_connection_is_in_the_trees_once() {
        let told: &[(&str, &[&str])] = &[
            ("a", &["b", "c", "d"]),
            ("b", &["a", "c", "e"]),
            ("c", &["a", "b", "d"]),
            ("d", &["a", "c"]),
            ("e", &["b"]),
            ("x", &["y"]),
            ("y", &["x"]),
        ];
        let network = network(&["a", "e", "x"], told);
        let trees = network.trees();
        assert_eq!(trees.len(), 2, "e is reached from a");
        let (mut nodes, mut connections) = (Vec::new(), Vec::new());
        let mut waiting: Vec<&Branch<'_>> = trees.iter().collect();
        while let Some(branch) = waiting.pop() {
            nodes.push(branch.node);
            connections.extend(branch.from.iter().chain(&branch.also).map(|one| one.ends));
            waiting.extend(&branch.children);
        }
        nodes.sort();
        connections.sort();
        assert_eq!(nodes, network.nodes.keys().collect::<Vec<_>>());
        assert_eq!(connections, network.connections().iter().map(|one| one.ends).collect::<Vec<_>>());
    }
}
