//! State below, verbs above: a file that a field of the node comes from never names the node, so
//! that the node can be read by itself, and its parts be tested without it.

use proc_macro2::{TokenStream, TokenTree};

use super::Problem;
use super::sources::{SourceFile, Sources};

/// Files of state, and what they may not name.
const STATE: [(&str, &str); 16] = [
    ("crates/aemp/src/database/told.rs", "Node"),
    ("crates/aemp/src/deadline.rs", "Node"),
    ("crates/aemp/src/functions.rs", "Node"),
    ("crates/aemp/src/runtime/backlog.rs", "Node"),
    ("crates/aemp/src/runtime/ending.rs", "Node"),
    ("crates/aemp/src/runtime/evaluations.rs", "Node"),
    ("crates/aemp/src/runtime/event.rs", "Node"),
    ("crates/aemp/src/runtime/failed_addresses.rs", "Node"),
    ("crates/aemp/src/runtime/listening.rs", "Node"),
    ("crates/aemp/src/runtime/outgoing.rs", "Node"),
    ("crates/aemp/src/runtime/relaying.rs", "Node"),
    ("crates/aemp/src/runtime/report.rs", "Node"),
    ("crates/aemp/src/runtime/runners.rs", "Node"),
    ("crates/aemp/src/runtime/seeds.rs", "Node"),
    ("crates/aemp/src/runtime/shared.rs", "Node"),
    ("crates/aemp/src/tombstones.rs", "Node"),
];

/// Names each file of state that names what is above it, or that is not there.
pub(super) fn check(sources: &Sources) -> Vec<Problem> {
    let all = STATE.iter().flat_map(|(path, above)| match sources.get(path) {
        Some(file) => names(file, above),
        None => vec![Problem::new(path, "it is not there; correct STATE of xtask/src/tidy/floors.rs")],
    });
    all.collect()
}

fn names(file: &SourceFile, above: &str) -> Vec<Problem> {
    let code = file.code_lines().collect::<Vec<_>>().join("\n");
    let mut lines = Vec::new();
    // The file has been parsed as a whole, so a part of it that is no Rust by itself cannot occur.
    find(code.parse().unwrap_or_default(), above, &mut lines);
    let what = format!("this file is state of the node and does not name {above}; verbs live in files above");
    lines.into_iter().map(|line| Problem::at(&file.path, line, what.clone())).collect()
}

fn find(tokens: TokenStream, name: &str, lines: &mut Vec<usize>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => find(group.stream(), name, lines),
            TokenTree::Ident(ident) if ident == name => lines.push(ident.span().start().line),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_may_not_name_it_and_comments_and_tests_may() {
        let count = |text: &str| {
            let file = SourceFile::new("a.rs".into(), text.into()).expect("it is Rust");
            names(&file, "Node").len()
        };
        assert_eq!(count("use crate::node::Node;\nfn f(node: &Node) {}"), 2);
        assert_eq!(count("// Node\nfn f(id: NodeId) {}\n#[cfg(test)]\nmod tests {\nuse super::Node;\n}"), 0);
    }
}
