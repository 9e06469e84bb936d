use super::*;

fn node(id: &str) -> NodeId {
    NodeId::new(id).unwrap()
}

fn entry(key: &str, value: &str) -> Family {
    Family::from([(key.into(), value.into())])
}

fn tables(family: &str, key: &str, value: &str) -> Tables {
    Tables::from([(family.into(), entry(key, value))])
}

fn merged(own: &str) -> Merged {
    Merged::new(node(own), 3)
}

fn shows(merged: &Merged) -> Option<String> {
    merged.get("f", "k").and_then(Value::to_name)
}

#[test]
fn of_two_slaves_the_one_that_set_it_last_counts_and_the_other_shows_again() {
    let mut merged = merged("m");
    merged.slave_update(&node("a"), "f", entry("k", "from a"), &[]);
    let delta = merged.slave_update(&node("b"), "f", entry("k", "from b"), &[]);
    assert_eq!(delta.view["f"].set, entry("k", "from b"));
    assert_eq!(delta.claims, delta.view);
    // Nobody sees that the one behind leaves.
    let mut quiet = merged.slave_update(&node("a"), "f", Family::new(), &["k".into()]);
    assert_eq!((quiet.view.len(), quiet.claims.len()), (0, 0));
    quiet = merged.slave_update(&node("a"), "f", entry("k", "a again"), &[]);
    assert_eq!(quiet.view["f"].set, entry("k", "a again"));
    let delta = merged.slave_drop(&node("a"));
    assert_eq!(delta.view["f"].set, entry("k", "from b"));
    let delta = merged.slave_drop(&node("b"));
    assert_eq!(delta.view["f"].deleted, ["k"]);
    assert!(merged.families.is_empty() && merged.held.is_empty());
}

#[test]
fn a_slave_that_attaches_anew_leaves_nothing_old_behind() {
    let mut merged = merged("m");
    merged.slave_update(&node("a"), "f", entry("old", "1"), &[]);
    let delta = merged.slave_replace(&node("a"), tables("g", "new", "2"));
    assert_eq!(delta.view["f"].deleted, ["old"]);
    assert_eq!(delta.view["g"].set, entry("new", "2"));
    assert_eq!(merged.slave_replace(&node("a"), tables("g", "new", "2")), Delta::default());
}

#[test]
fn a_global_node_that_tells_all_anew_leaves_nothing_old_behind() {
    let mut merged = merged("m");
    merged.global_replace(&node("a"), true, tables("f", "old", "1"));
    let delta = merged.global_replace(&node("a"), true, tables("g", "new", "2"));
    assert_eq!(delta.view["f"].deleted, ["old"]);
    assert_eq!(delta.view["g"].set, entry("new", "2"));
    assert!(delta.claims.is_empty());
}

#[test]
fn a_value_set_in_spite_of_anothers_claim_is_the_last_everywhere() {
    let (mut a, mut b) = (merged("a"), merged("b"));
    a.slave_update(&node("a"), "f", entry("k", "first"), &[]);
    b.global_update(&node("a"), true, "f", entry("k", "first"), &[]);
    let delta = b.slave_update(&node("b"), "f", entry("k", "second"), &[]);
    assert_eq!(shows(&b).as_deref(), Some("second"));
    assert_eq!(delta.stamps, [("f".into(), "k".into(), 1)]);
    a.global_update(&node("b"), true, "f", entry("k", "second"), &[]);
    assert_eq!(shows(&a).as_deref(), Some("first"), "until the stamp has come");
    a.global_stamp(&node("b"), "f", "k", 1);
    assert_eq!(shows(&a).as_deref(), Some("second"));
    let delta = a.global_drop(&node("b"));
    assert_eq!(delta.view["f"].set, entry("k", "first"));
}

#[test]
fn values_set_at_the_same_time_are_decided_alike_by_all() {
    let (mut a, mut b) = (merged("a"), merged("b"));
    a.slave_update(&node("x"), "f", entry("k", "at a"), &[]);
    b.slave_update(&node("y"), "f", entry("k", "at b"), &[]);
    a.global_replace(&node("b"), true, tables("f", "k", "at b"));
    b.global_replace(&node("a"), true, tables("f", "k", "at a"));
    assert_eq!(shows(&a), shows(&b));
    assert_eq!(shows(&a).as_deref(), Some("at a"));
}

#[test]
fn what_arrives_last_from_a_perl_node_counts_and_then_our_own_shows_again() {
    let mut merged = merged("z");
    merged.slave_update(&node("x"), "f", entry("k", "ours"), &[]);
    merged.global_replace(&node("perl"), false, tables("f", "k", "theirs"));
    assert_eq!(shows(&merged).as_deref(), Some("ours"), "it does not say when it was set");
    merged.global_update(&node("perl"), false, "f", entry("k", "later"), &[]);
    assert_eq!(shows(&merged).as_deref(), Some("later"));
    let delta = merged.global_update(&node("perl"), false, "f", Family::new(), &["k".into()]);
    assert_eq!(delta.view["f"].set, entry("k", "ours"));
    assert!(delta.claims.is_empty(), "what others claim is not repeated");
}

#[test]
fn a_slave_that_becomes_global_keeps_its_entries_meanwhile() {
    let mut merged = merged("m");
    merged.slave_update(&node("a"), "f", entry("k", "v"), &[]);
    let delta = merged.slave_to_global(&node("a"), true);
    assert!(delta.view.is_empty());
    assert_eq!(delta.claims["f"].deleted, ["k"]);
    assert_eq!(merged.global_replace(&node("a"), true, tables("f", "k", "v")), Delta::default());
}

#[test]
fn one_node_owns_no_more_than_the_limit() {
    let mut merged = merged("m");
    for key in ["a", "b", "c"] {
        assert_eq!(merged.slave_update(&node("s"), "f", entry(key, "1"), &[]).refused, 0);
    }
    assert_eq!(merged.slave_update(&node("s"), "f", entry("d", "1"), &[]).refused, 1);
    assert_eq!(merged.slave_update(&node("s"), "f", entry("c", "2"), &[]).refused, 0);
    assert_eq!(merged.slave_update(&node("t"), "f", entry("d", "1"), &[]).refused, 0);
}
