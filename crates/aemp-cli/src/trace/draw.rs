//! A network as a tree for the terminal, as a graph for Graphviz, and as JSON.

use std::fmt::Write as _;

use aemp::NodeId;
use serde_json::{Value as Json, json};

use super::network::{Branch, Connection, Network, Seen};

/// One line a node, under a node that it is connected to. What is special about it stands behind it
/// in brackets.
pub(super) fn tree(network: &Network) -> String {
    let mut out = String::new();
    for root in network.trees() {
        line(&mut out, network, &root, "", "");
    }
    out
}

fn line(out: &mut String, network: &Network, branch: &Branch<'_>, before: &str, below: &str) {
    let _ = write!(out, "{before}{}", branch.node);
    for mark in marks(network, branch) {
        let _ = write!(out, "  [{mark}]");
    }
    out.push('\n');
    for (index, child) in branch.children.iter().enumerate() {
        let (corner, bar) = if index + 1 == branch.children.len() {
            ("└── ", "    ")
        } else {
            ("├── ", "│   ")
        };
        line(out, network, child, &format!("{below}{corner}"), &format!("{below}{bar}"));
    }
}

fn marks(network: &Network, branch: &Branch<'_>) -> Vec<String> {
    let mut marks: Vec<String> = branch.from.iter().flat_map(specials).collect();
    marks.extend(trouble(network, branch.node));
    if !branch.also.is_empty() {
        let also = branch.also.iter().map(|one| {
            let specials = specials(one);
            let about =
                if specials.is_empty() { String::new() } else { format!(" ({})", specials.join(", ")) };
            format!("{}{about}", one.other(branch.node))
        });
        marks.push(format!("also connected to {}", also.collect::<Vec<_>>().join(", ")));
    }
    marks
}

/// What is special about a connection.
fn specials(connection: &Connection<'_>) -> Vec<String> {
    let mut specials: Vec<String> =
        connection.relayed_by.iter().map(|relay| format!("relayed by {relay}")).collect();
    if connection.one_sided {
        specials.extend(connection.seen_by().map(|end| format!("seen by {end} only")));
    }
    specials
}

/// Why a node has not told its connections.
fn trouble(network: &Network, node: &NodeId) -> Option<String> {
    match network.nodes.get(node)? {
        Seen::Neighbours(_) => None,
        Seen::Nothing(None) => Some("no answer".into()),
        Seen::Nothing(Some(why)) => Some(format!("no answer: {why}")),
        Seen::Refused(why) => Some(format!("refused: {why}")),
    }
}

/// A graph for Graphviz: nodes without an answer are dashed, relayed connections dotted, and a
/// connection that one side denies is a dashed arrow from the side that sees it.
pub(super) fn dot(network: &Network) -> String {
    let mut out = String::from("graph aemp {\n");
    for node in network.nodes.keys() {
        let style = trouble(network, node).map(|trouble| {
            let label = quoted(&format!("{node}\n{trouble}"));
            format!(" [style=dashed, label={label}]")
        });
        let _ = writeln!(out, "  {}{};", quoted(node.as_str()), style.unwrap_or_default());
    }
    for connection in network.connections() {
        let [mut from, mut to] = connection.ends;
        let mut attributes: Vec<String> = Vec::new();
        if let Some(relay) = connection.relayed_by {
            attributes.push(format!("style=dotted, label={}", quoted(&format!("relayed by {relay}"))));
        }
        if connection.one_sided {
            if connection.seen[1] {
                (from, to) = (to, from);
            }
            attributes.push("dir=forward, style=dashed".into());
        }
        let _ = write!(out, "  {} -- {}", quoted(from.as_str()), quoted(to.as_str()));
        out.push_str(&if attributes.is_empty() {
            ";\n".into()
        } else {
            format!(" [{}];\n", attributes.join(", "))
        });
    }
    out + "}\n"
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// `nodes`, each with whether it answered and else why not, and `connections`, each with its two
/// ends, those of them that have told of it, and the node that carries it.
pub(super) fn json(network: &Network) -> Json {
    let node = |(node, seen): (&NodeId, &Seen)| match seen {
        Seen::Neighbours(_) => json!({"node": node.as_str(), "answered": true}),
        Seen::Nothing(why) => json!({"node": node.as_str(), "answered": false, "error": why}),
        Seen::Refused(why) => json!({"node": node.as_str(), "answered": false, "error": why}),
    };
    let connection = |connection: Connection<'_>| {
        json!({
            "nodes": connection.ends.map(NodeId::as_str),
            "seen_by": connection.seen_by().map(NodeId::as_str).collect::<Vec<_>>(),
            "one_sided": connection.one_sided,
            "carried_by": connection.relayed_by.map(NodeId::as_str),
        })
    };
    json!({
        "nodes": network.nodes.iter().map(node).collect::<Vec<_>>(),
        "connections": network.connections().into_iter().map(connection).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::network::tests::{network, node};
    use super::*;

    /// Two seeds, a worker that is connected to both, one that denies a connection, a carried one,
    /// and two without an answer.
    fn example() -> Network {
        let told: &[(&str, &[&str])] = &[
            ("seed", &["gone", "perl", "private", "seed2", "worker"]),
            ("seed2", &["seed", "worker", "perl", "x"]),
            ("worker", &["private@seed", "seed", "seed2"]),
            ("private", &["seed", "worker@seed"]),
            ("perl", &["seed"]),
        ];
        let mut network = network(&["seed"], told);
        network.nodes.insert(node("x"), Seen::Refused("eval is \"refused\"".into()));
        network
    }

    #[test]
    fn the_tree_has_every_node_once_and_says_what_is_special() {
        let expected = "\
seed
├── gone  [no answer]
├── perl
├── private
├── seed2  [also connected to perl (seen by seed2 only)]
│   └── x  [refused: eval is \"refused\"]
└── worker  [also connected to private (relayed by seed), seed2]
";
        assert_eq!(tree(&example()), expected);
        let alone = network(&["a"], &[("a", &["b"]), ("b", &[])]);
        assert_eq!(tree(&alone), "a\n└── b  [seen by a only]\n");
        assert_eq!(tree(&network(&["a"], &[("a", &[])])), "a\n");
    }

    #[test]
    fn graphviz_gets_nodes_edges_and_styles() {
        let expected = r#"graph aemp {
  "gone" [style=dashed, label="gone\nno answer"];
  "perl";
  "private";
  "seed";
  "seed2";
  "worker";
  "x" [style=dashed, label="x\nrefused: eval is \"refused\""];
  "gone" -- "seed";
  "perl" -- "seed";
  "seed2" -- "perl" [dir=forward, style=dashed];
  "private" -- "seed";
  "private" -- "worker" [style=dotted, label="relayed by seed"];
  "seed" -- "seed2";
  "seed" -- "worker";
  "seed2" -- "worker";
  "seed2" -- "x";
}
"#;
        assert_eq!(dot(&example()), expected);
    }

    #[test]
    fn json_has_nodes_and_connections() {
        let json = json(&example());
        assert_eq!(json["nodes"][0], json!({"node": "gone", "answered": false, "error": null}));
        assert_eq!(json["nodes"][1], json!({"node": "perl", "answered": true}));
        let connections = json["connections"].as_array().unwrap();
        assert_eq!(connections.len(), 9);
        let denied =
            json!({"nodes": ["perl", "seed2"], "seen_by": ["seed2"], "one_sided": true, "carried_by": null});
        assert!(connections.contains(&denied));
        let relayed = json!({
            "nodes": ["private", "worker"], "seen_by": ["private", "worker"], "one_sided": false, "carried_by": "seed"
        });
        assert!(connections.contains(&relayed));
    }
}
