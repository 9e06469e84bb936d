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
    Merged::new(node(own), 3, PeerBudgets::default())
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

#[test]
fn what_another_node_may_have_here_is_limited_in_bytes_and_comes_back() {
    let budgets = PeerBudgets::new(100_000);
    let mut merged = Merged::new(node("m"), 1000, budgets.clone());
    let large = |n: usize| entry(&format!("k{n}"), &"x".repeat(10_000));
    let names = |n: usize| (format!("{n:01000}"), entry("k", "v"));
    for native in [true, false] {
        // Values, families and entries; of slaves and of global nodes; in updates and as a whole.
        let refused: usize =
            (0..20).map(|n| merged.slave_update(&node("a"), "f", large(n), &[]).refused).sum();
        assert!((10..15).contains(&refused), "{refused}");
        let tables: Tables = (0..200).map(names).collect();
        let refused = merged.global_replace(&node("b"), native, tables).refused;
        assert!((100..150).contains(&refused), "{refused}");
        let replaced = merged.global_update(&node("b"), native, &format!("{:01000}", 0), large(0), &[]);
        assert_eq!(replaced.refused, 1);
        assert!(budgets.of(&node("a")).used() <= 100_000 && budgets.of(&node("b")).used() <= 100_000);
        // A smaller value makes room for another one.
        assert_eq!(merged.slave_update(&node("a"), "f", entry("k0", "y"), &[]).refused, 0);
        assert_eq!(merged.slave_update(&node("a"), "f", large(30), &[]).refused, 0);
        // The own node is not limited here.
        assert_eq!(
            (0..20).map(|n| merged.slave_update(&node("m"), "f", large(n), &[]).refused).sum::<usize>(),
            0
        );
        merged.slave_drop(&node("a"));
        merged.global_drop(&node("b"));
        merged.slave_drop(&node("m"));
        assert_eq!((budgets.of(&node("a")).used(), budgets.of(&node("b")).used()), (0, 0));
        assert!(merged.families.is_empty() && merged.held.is_empty());
    }
}

#[test]
fn a_slave_that_becomes_global_takes_its_charge_along() {
    let budgets = PeerBudgets::default();
    let mut merged = Merged::new(node("m"), 10, budgets.clone());
    merged.slave_update(&node("a"), "f", entry("k", "v"), &[]);
    let charged = budgets.of(&node("a")).used();
    merged.slave_to_global(&node("a"), true);
    assert_eq!((charged > 0, budgets.of(&node("a")).used()), (true, charged));
    merged.global_update(&node("a"), true, "f", Family::new(), &["k".into()]);
    assert_eq!(budgets.of(&node("a")).used(), 0);
}

#[test]
fn no_stamp_is_so_high_that_there_is_no_higher_one() {
    let mut merged = merged("m");
    merged.global_update(&node("a"), true, "f", entry("k", "theirs"), &[]);
    merged.global_stamp(&node("a"), "f", "k", STAMP_MAX);
    let delta = merged.slave_update(&node("s"), "f", entry("k", "ours"), &[]);
    assert_eq!(delta.stamps, [("f".into(), "k".into(), STAMP_MAX + 1)]);
    assert_eq!(shows(&merged), Some("ours".into()));
}

mod model {
    use proptest::prelude::*;

    use super::*;

    /// One step of a peer: which one, whether it is global, which key, and the length of the value
    /// that it sets, if any.
    type Step = (usize, bool, usize, Option<usize>);

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = (0..3usize, any::<bool>(), 0..4usize, proptest::option::of(0..3000usize));
        proptest::collection::vec(step, 1..100)
    }

    /// The sizes that a whole look at the family gives.
    fn counted(merged: &Merged) -> (usize, usize) {
        let family = merged.family("f");
        (family.keys().map(|key| key_size(key)).sum(), family.values().map(size).sum())
    }

    proptest! {
        #[test]
        fn sums_are_what_counting_gives(steps in steps()) {
            let budgets = PeerBudgets::new(5000);
            let mut merged = Merged::new(node("m"), 3, budgets.clone());
            for (peer, global, key, value) in steps {
                // Two of them are what they are, and the third one is both.
                let peer = node(["a", "b", "c"][peer]);
                let key = format!("k{key}");
                match (global, value) {
                    (true, Some(length)) => drop(merged.global_update(&peer, true, "f", entry(&key, &"v".repeat(length)), &[])),
                    (false, Some(length)) => drop(merged.slave_update(&peer, "f", entry(&key, &"v".repeat(length)), &[])),
                    (true, None) => drop(merged.global_update(&peer, true, "f", Family::new(), &[key])),
                    (false, None) => drop(merged.slave_update(&peer, "f", Family::new(), &[key])),
                }
                let (keys, values) = counted(&merged);
                prop_assert_eq!(merged.answer_size(QueryKind::Family, "f"), 5 + keys + values);
                prop_assert_eq!(merged.answer_size(QueryKind::Keys, "f"), 5 + keys);
                prop_assert_eq!(merged.answer_size(QueryKind::Values, "f"), 5 + values);
                for peer in ["a", "b", "c"] {
                    let held = [Holder::Slave(node(peer)), Holder::Global(node(peer))];
                    let held: usize = held.iter().filter_map(|holder| merged.held.get(holder)).map(Held::bytes).sum();
                    prop_assert_eq!(budgets.of(&node(peer)).used(), held);
                }
            }
            for peer in ["a", "b", "c"] {
                merged.slave_drop(&node(peer));
                merged.global_drop(&node(peer));
                prop_assert_eq!(budgets.of(&node(peer)).used(), 0);
            }
            prop_assert!(merged.families.is_empty() && merged.held.is_empty());
        }
    }
}
