//! Nodes that are told something while they run: other seeds, or to withdraw.

use std::time::Duration;

use super::super::{DbCommand, Input, QueryKind};
use super::net::Net;
use crate::Value;
use crate::db::client::Master;
use crate::wire::request::Family;

fn master(net: &Net, id: &str) -> Master {
    net.nodes[id].kernel.as_ref().unwrap().client.master().clone()
}

fn seeds(net: &mut Net, id: &str, seeds: &[&str]) {
    let seeds = seeds.iter().map(|seed| format!("{seed}:1")).collect();
    net.input(id, Input::Seeds(seeds));
}

/// What a watch of the family shows on a node.
fn view(net: &mut Net, id: &str, family: &str) -> Family {
    let watch = net.watch(id, family);
    net.run(Duration::from_secs(3));
    net.nodes[id].watches[&watch].clone().unwrap()
}

#[test]
fn a_node_without_seeds_joins_when_it_is_given_some() {
    let mut net = Net::new(1);
    net.add("s", &["s"], false);
    net.add("other", &["s"], false);
    net.add("a", &[], false);
    net.set("a", "f", "a", 1);
    let watch = net.watch("a", "f");
    net.set("other", "f", "other", 2);
    net.run(Duration::from_secs(3));
    assert_eq!(master(&net, "a"), Master::Own);
    assert_eq!(net.nodes["a"].watches[&watch], Some(Family::from([("a".into(), Value::from(1))])));
    seeds(&mut net, "a", &["s"]);
    // What is asked before a seed is there waits for its answer.
    let query = net.query("a", QueryKind::Keys, "f");
    net.run(Duration::from_secs(3));
    assert_eq!(master(&net, "a"), Master::Node(super::net::node("s")));
    let all = Family::from([("a".into(), Value::from(1)), ("other".into(), Value::from(2))]);
    assert_eq!(net.nodes["a"].watches[&watch], Some(all.clone()));
    assert_eq!(net.nodes["a"].answers[&query], Value::List(vec![Value::name("a"), Value::name("other")]));
    assert_eq!(view(&mut net, "other", "f"), all);
}

#[test]
fn a_node_follows_its_seeds_when_these_move() {
    for random in 0..10 {
        let mut net = Net::new(random);
        net.add("s", &["s"], false);
        net.add("a", &["s"], false);
        net.add("b", &["s"], false);
        net.run(Duration::from_secs(3));
        net.set("b", "f", "b", 1);
        net.add("t", &["t"], false);
        net.crash("s", false);
        for id in ["a", "b"] {
            seeds(&mut net, id, &["t"]);
        }
        net.run(Duration::from_secs(5));
        assert_eq!(master(&net, "a"), Master::Node(super::net::node("t")));
        assert_eq!(view(&mut net, "a", "f"), Family::from([("b".into(), Value::from(1))]));
    }
}

#[test]
fn a_node_that_loses_its_last_seed_answers_itself() {
    let mut net = Net::new(1);
    net.add("s", &["s"], false);
    net.add("a", &["s"], false);
    net.set("a", "f", "a", 1);
    net.run(Duration::from_secs(3));
    seeds(&mut net, "a", &[]);
    net.run(Duration::from_secs(3));
    assert_eq!(master(&net, "a"), Master::Node(super::net::node("s")), "it is connected all the same");
    net.crash("s", false);
    net.run(Duration::from_secs(3));
    assert_eq!(master(&net, "a"), Master::Own);
    assert_eq!(view(&mut net, "a", "f"), Family::from([("a".into(), Value::from(1))]));
}

#[test]
fn what_is_withdrawn_is_gone_everywhere_and_stays_so() {
    let mut net = Net::new(1);
    net.add("s", &["s"], false);
    net.add("a", &["s"], false);
    net.add("b", &["s"], false);
    net.run(Duration::from_secs(3));
    for (id, key) in [("a", "a"), ("a", "both"), ("b", "both")] {
        net.set(id, "f", key, id);
    }
    net.run(Duration::from_secs(3));
    net.input("a", Input::Db(DbCommand::Withdraw));
    net.set("a", "f", "late", 1);
    let left = Family::from([("both".into(), Value::from("b"))]);
    assert_eq!(view(&mut net, "b", "f"), left);
    // Others still find the way to it, also over a new connection.
    assert!(view(&mut net, "b", "'l").contains_key("a"));
    net.reset("a", "s");
    net.run(Duration::from_secs(3));
    assert_eq!(view(&mut net, "b", "f"), left);
    assert!(view(&mut net, "b", "'l").contains_key("a"));
}
