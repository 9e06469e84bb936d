//! Families that fit into no message.

use std::time::Duration;

use super::net::{Net, node};
use crate::Value;
use crate::kernel::{KernelConfig, QueryKind};
use crate::wire::request::Family;
use crate::wire::{MeshRequest, Request};

const FAMILY: &str = "large";
const MESSAGE: usize = 4000;

fn add(net: &mut Net, id: &str, seeds: &[&str]) {
    let mut config = KernelConfig::new(node(id));
    config.seeds = seeds.iter().map(|seed| format!("{seed}:1")).collect();
    config.monitor_timeout = Duration::from_secs(4);
    config.limits.message = MESSAGE;
    net.add_with(config);
}

fn known(net: &Net, id: &str, watch: u64) -> Family {
    net.nodes[id].watches[&watch].clone().unwrap()
}

#[test]
fn a_family_that_fits_into_no_message_is_told_in_parts() {
    let mut net = Net::new(7);
    add(&mut net, "g", &["h"]);
    add(&mut net, "h", &["g"]);
    add(&mut net, "a", &["g"]);
    add(&mut net, "b", &["h"]);
    let early = net.watch("b", FAMILY);
    net.run(Duration::from_secs(5));
    for n in 0..100 {
        net.set("a", FAMILY, &format!("key{n}"), Value::Text("x".repeat(100)));
    }
    net.run(Duration::from_secs(5));
    let late = net.watch("b", FAMILY);
    let whole = net.query("b", QueryKind::Family, FAMILY);
    let keys = net.query("b", QueryKind::Keys, FAMILY);
    net.run(Duration::from_secs(5));
    assert_eq!(known(&net, "b", early).len(), 100);
    assert_eq!(known(&net, "b", late), known(&net, "b", early));
    // One of an own node is answered no matter what its size, and no answer fits here.
    assert_eq!(net.nodes["b"].answers[&whole], Value::Null);
    let Value::List(keys) = &net.nodes["b"].answers[&keys] else { panic!("no list") };
    assert_eq!(keys.len(), 100);
    // All that a node owned vanishes at once; a master that comes anew is told all of it at once.
    net.crash("a", false);
    net.run(Duration::from_secs(10));
    assert_eq!(known(&net, "b", early).len(), 0);
    for n in 0..100 {
        net.set("b", FAMILY, &format!("key{n}"), Value::Text("y".repeat(100)));
    }
    net.crash("h", false);
    net.start("h");
    net.run(Duration::from_secs(20));
    assert_eq!(known(&net, "b", early).len(), 100);
    let late = net.watch("g", FAMILY);
    net.run(Duration::from_secs(5));
    assert_eq!(known(&net, "g", late), known(&net, "b", early));
    let mut parts = 0;
    for (_, from, to, request) in &net.sent {
        parts += usize::from(matches!(request, MeshRequest::Changed(_, set, _) if set.len() > 1));
        let bytes = Request::Mesh(request.clone()).encode().unwrap().items().len();
        assert!(bytes <= MESSAGE, "{from} sent {to} {bytes} bytes: {request:?}");
    }
    assert!(parts > 2, "{parts}");
}
