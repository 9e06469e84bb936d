//! A node that reaches others through a message broker, as its machine: what is dialled, and when.

use std::time::Duration;

use aemp_proto::NodeId;
use aemp_proto::broker::{ANY_GLOBAL, address_of};
use aemp_proto::kernel::{Action, Input, Kernel, KernelConfig, LinkId, NO_ADDRESS};

fn node(id: &str) -> NodeId {
    NodeId::new(id).expect("a node ID")
}

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A node at a broker, and what it wants done at its start.
fn start(global: bool) -> (Kernel, Vec<Action>) {
    let config = KernelConfig { broker: true, global, ..KernelConfig::new(node("own")) };
    let mut kernel = Kernel::new(config, at(0));
    let actions = actions(&mut kernel);
    (kernel, actions)
}

fn actions(kernel: &mut Kernel) -> Vec<Action> {
    std::iter::from_fn(|| kernel.poll()).collect()
}

fn dialled(actions: &[Action], to: &str) -> Option<LinkId> {
    actions.iter().find_map(|action| match action {
        Action::Dial { link, address, .. } if address == to => Some(*link),
        _ => None,
    })
}

fn broken(actions: &[Action]) -> Option<&str> {
    actions.iter().find_map(|action| match action {
        Action::Break { reason, .. } => Some(reason.as_str()),
        _ => None,
    })
}

#[test]
fn a_node_is_dialled_by_its_id_alone_and_at_once() {
    let (mut kernel, _) = start(false);
    for now in [at(10), at(2000)] {
        kernel.handle(Input::Wanted(node("far")), now);
        let wanted = actions(&mut kernel);
        let link = dialled(&wanted, &address_of(&node("far"))).expect("it is dialled");
        kernel.handle(Input::Closed { link, reason: NO_ADDRESS.into() }, now);
        assert_eq!(broken(&actions(&mut kernel)), Some(NO_ADDRESS));
    }
}

#[test]
fn why_the_broker_was_of_no_use_is_said() {
    let (mut kernel, _) = start(false);
    kernel.handle(Input::Wanted(node("far")), at(10));
    let wanted = actions(&mut kernel);
    let link = dialled(&wanted, &address_of(&node("far"))).expect("it is dialled");
    kernel.handle(Input::Closed { link, reason: "not connected to NATS".into() }, at(20));
    assert_eq!(broken(&actions(&mut kernel)), Some("not connected to NATS"));
}

#[test]
fn any_global_node_at_the_broker_is_a_seed_and_all_are_to_a_global_node() {
    let (_, actions) = start(false);
    assert!(dialled(&actions, ANY_GLOBAL).is_some());
    let (mut kernel, actions) = start(true);
    assert_eq!(dialled(&actions, ANY_GLOBAL), None);
    assert!(actions.contains(&Action::Resolve { name: ANY_GLOBAL.into() }));
    assert!(actions.contains(&Action::BecameGlobal), "the broker is to say so");
    let others = ["g1", "g2"].map(|id| address_of(&node(id)));
    kernel.handle(Input::Resolved { name: ANY_GLOBAL.into(), addresses: others.to_vec() }, at(10));
    let wanted = self::actions(&mut kernel);
    assert!(others.iter().all(|other| dialled(&wanted, other).is_some()), "{wanted:?}");
}

#[test]
fn other_seeds_do_not_displace_the_broker() {
    let (mut kernel, _) = start(false);
    kernel.handle(Input::Seeds(vec!["seed:4040".into()]), at(10));
    kernel.handle(Input::Seeds(Vec::new()), at(20));
    assert!(!kernel.is_serving(), "there is somebody to ask");
}
