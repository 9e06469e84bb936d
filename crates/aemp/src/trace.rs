//! The question for a node's connections, with which `aemp trace` finds its way through a network.
//!
//! Perl's tool asks by `eval` with the name of a function. Nothing is evaluated here: it is
//! answered because it is known, whether or not a node evaluates anything, and also in secure mode.
//! What it tells stands in the shared database in a coarser form.

use aemp_proto::kernel::Route;
use aemp_proto::{NodeId, Value};

use crate::node::Node;

/// The code that asks for the connected nodes of a node, Perl's or ours: `eval` it with a port for
/// the answer, which is `VALUE…, "", NODE…`. The asked node itself is not among them.
pub const UP_NODES: &str = "AnyEvent::MP::Kernel::up_nodes";

/// The same question; nodes of ours tell a connection that another node carries as the list `[NODE,
/// CARRIER]`. To Perl nodes, which have none, the end is a comment.
pub const UP_NODES_AND_RELAYS: &str = "AnyEvent::MP::Kernel::up_nodes # and carriers";

/// Whether this code asks for the connections.
pub(crate) fn is_asked(code: &str) -> bool {
    let call = code.trim().trim_end_matches(';').trim_end();
    call == UP_NODES_AND_RELAYS || call.strip_suffix("()").unwrap_or(call).trim_end() == UP_NODES
}

impl Node {
    /// What Perl's `eval` would send: no error, and the connected nodes.
    pub(crate) fn up_nodes_answer(&self, code: &str) -> Vec<Value> {
        let up = self.inner().shared.up.read();
        let value = |(node, route): (&NodeId, &Route)| match route {
            Route::Through(via) if code.trim().ends_with("carriers") => {
                Value::List(vec![Value::name(node.as_str()), Value::name(via.as_str())])
            }
            _ => Value::name(node.as_str()),
        };
        std::iter::once(Value::name("")).chain(up.iter().map(value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_alone_is_the_question() {
        for asked in [UP_NODES, UP_NODES_AND_RELAYS, " AnyEvent::MP::Kernel::up_nodes () ;\n"] {
            assert!(is_asked(asked), "{asked}");
        }
        for other in
            ["", "up_nodes", "AnyEvent::MP::Kernel::up_nodes, die", "AnyEvent::MP::Kernel::up_nodes;;x"]
        {
            assert!(!is_asked(other), "{other}");
        }
    }
}
