//! Names and addresses, on several hosts: what a name stands for, where a node can be reached, what
//! is said when it cannot.

#![allow(clippy::unwrap_used, reason = "these are parts of tests")]
#![cfg(target_os = "linux")]

mod support;

use support::Running;
use support::hosts::{Host, Network, output_of};

/// Waits until a node has said that it is connected to this one.
fn wait_for(node: &mut Running, peer: &str) {
    node.logged(&format!("node up peer={peer}"));
}

/// The machine's own name, which all hosts of a test have.
fn own_name() -> String {
    output_of("uname", "-n").unwrap()
}

fn assert_reached(host: &Host, node: &str, seed: &str) {
    let time = host.time_of(node, seed).unwrap_or_else(|error| panic!("{node} through {seed}: {error}"));
    assert!(time > 1.7e9);
}

#[test]
fn a_dead_address_of_a_seed_does_not_stop_a_node() {
    let Some(net) = Network::new("a_dead_address_of_a_seed_does_not_stop_a_node", 2) else { return };
    let near = net.host(1);
    near.blackhole("2001:db8:77::dead");
    near.names(&["10.77.0.2 seedhost", "2001:db8:77::dead seedhost"]);
    let mut seed = net.host(2).node("seed", "*:4040", "", &[]);
    seed.ready();
    let mut node = near.node("a", "*:4041", "seedhost:4040", &[]);
    wait_for(&mut node, "seed");
    assert_reached(near, "seed", "seedhost:4040");
}

#[test]
fn a_service_name_that_is_ourselves_too_leads_to_all_others() {
    let Some(net) = Network::new("a_service_name_that_is_ourselves_too_leads_to_all_others", 4) else {
        return;
    };
    let service: Vec<String> = (1..=4).map(|at| format!("10.77.0.{at} svc")).collect();
    let service: Vec<&str> = service.iter().map(String::as_str).collect();
    let mut nodes: Vec<Running> = (1..=4)
        .map(|at| {
            net.host(at).names(&service);
            net.host(at).node(&format!("n{at}"), &format!("10.77.0.{at}:4040"), "svc:4040", &[])
        })
        .collect();
    for (at, node) in (1..).zip(&mut nodes) {
        let mut missing: Vec<String> = (1..=4).filter(|n| *n != at).map(|n| format!("peer=n{n}")).collect();
        while !missing.is_empty() {
            let line = node.logged("node up");
            missing.retain(|peer| !line.ends_with(peer.as_str()));
        }
    }
}

#[test]
fn a_name_is_looked_up_again_when_its_seed_has_moved() {
    let Some(net) = Network::new("a_name_is_looked_up_again_when_its_seed_has_moved", 3) else { return };
    let near = net.host(1);
    near.names(&["10.77.0.2 svc"]);
    let mut first = net.host(2).node("first", "10.77.0.2:4040", "", &[]);
    first.ready();
    let mut node = near.node("a", "*:4040", "svc:4040", &["monitor_timeout", "2"]);
    wait_for(&mut node, "first");
    let mut second = net.host(3).node("second", "10.77.0.3:4040", "", &[]);
    second.ready();
    near.names(&["10.77.0.3 svc"]);
    first.signal("TERM");
    wait_for(&mut node, "second");
    assert_reached(near, "second", "svc:4040");
}

#[test]
fn a_node_that_is_its_own_seed_starts_without_a_warning() {
    let Some(net) = Network::new("a_node_that_is_its_own_seed_starts_without_a_warning", 1) else { return };
    let host = net.host(1);
    let own = own_name();
    host.names(&["10.77.0.1 svc", &format!("127.0.1.1 {own}")]);
    for seed in ["10.77.0.1:4040", "svc:4040", &format!("{own}:4040")] {
        let mut node = host.node("a", "*:4040", seed, &[]);
        node.ready();
        assert_reached(host, "a", "10.77.0.1:4040");
        node.signal("TERM");
        node.wait();
        let errors = node.errors();
        let complaints: Vec<_> =
            errors.iter().filter(|line| line.contains("WARN") && !line.contains("encrypted")).collect();
        assert!(complaints.is_empty(), "{complaints:?}");
    }
}

#[test]
fn a_node_bound_to_a_wildcard_or_its_own_name_is_reached_from_another_host() {
    let name = "a_node_bound_to_a_wildcard_or_its_own_name_is_reached_from_another_host";
    let Some(net) = Network::new(name, 2) else { return };
    let (near, far) = (net.host(1), net.host(2));
    far.names(&[&format!("127.0.1.1 {}", own_name())]);
    let mut seed = far.node("seed", "*:4040", "", &[]);
    seed.ready();
    for (at, bind) in ["0.0.0.0", "[::]", "*", &own_name()].iter().enumerate() {
        let id = format!("wild{at}");
        let mut node = far.node(&id, &format!("{bind}:{}", 4050 + at), "10.77.0.2:4040", &[]);
        wait_for(&mut node, "seed");
        let told = near.run("10.77.0.2:4040", &["db", "'l"]).stdout;
        let line =
            told.lines().find(|line| line.starts_with(&id)).unwrap_or_else(|| panic!("{bind}: {told}"));
        assert!(
            line.contains(&format!("10.77.0.2:{}", 4050 + at)) && !line.contains("127."),
            "{bind}: {line}"
        );
        assert_reached(near, &id, "10.77.0.2:4040");
        assert_reached(far, &id, "10.77.0.2:4040");
    }
}

#[test]
fn a_node_on_loopback_says_so_and_is_reached_through_its_seed() {
    let Some(net) = Network::new("a_node_on_loopback_says_so_and_is_reached_through_its_seed", 2) else {
        return;
    };
    let (near, far) = (net.host(1), net.host(2));
    let mut seed = near.node("seed", "*:4040", "", &[]);
    seed.ready();
    let mut node = far.node("lo", "127.0.0.1:4050", "10.77.0.1:4040", &[]);
    let line = node.logged("loopback");
    assert!(line.contains("127.0.0.1:4050") && line.contains("advertise"), "{line}");
    assert_reached(near, "lo", "10.77.0.1:4040");
    // It is said once, however many nodes come.
    assert_reached(near, "lo", "10.77.0.1:4040");
    assert_eq!(node.logged_if_there("loopback"), None);
}

#[test]
fn a_node_that_is_told_an_address_of_its_own_says_so_and_finds_the_other_one() {
    let name = "a_node_that_is_told_an_address_of_its_own_says_so_and_finds_the_other_one";
    let Some(net) = Network::new(name, 2) else { return };
    let mut seed = net.host(1).node("seed", "*:4040", "", &[]);
    seed.ready();
    let mut far = net.host(2).node("far", "127.0.0.1:4050", "10.77.0.1:4040", &[]);
    wait_for(&mut far, "seed");
    // It dials every node, to hear what they log.
    let catcher = r#"[["AnyEvent::MP::LogCatcher::catch","warn"]]"#;
    let mut near = net.host(1).node("near", "127.0.0.1:4050", "10.77.0.1:4040", &["services", catcher]);
    let line = near.logged("leads to ourselves");
    assert!(line.contains("peer=far") && line.contains("127.0.0.1:4050"), "{line}");
    wait_for(&mut near, "far");
}

#[test]
fn what_is_advertised_is_what_others_dial() {
    let Some(net) = Network::new("what_is_advertised_is_what_others_dial", 2) else { return };
    let (near, far) = (net.host(1), net.host(2));
    near.names(&["10.77.0.2 public.example"]);
    let mut seed = far.node("seed", "*:4040", "", &[]);
    seed.ready();
    let mut node = far.node("mapped", "*:4050", "10.77.0.2:4040", &["advertise", "public.example"]);
    wait_for(&mut node, "seed");
    let told = near.run("10.77.0.2:4040", &["db", "'l"]).stdout;
    assert!(told.lines().any(|line| line == r#"mapped ["public.example:4050"]"#), "{told}");
    assert_reached(near, "mapped", "10.77.0.2:4040");
}

#[test]
fn an_unusable_address_of_the_machine_is_left_out() {
    let Some(net) = Network::new("an_unusable_address_of_the_machine_is_left_out", 2) else { return };
    let (near, far) = (net.host(1), net.host(2));
    far.ip(&["addr", "add", "2001:db8:99::6/64", "dev", "eth0", "nodad"]);
    near.ip(&["addr", "add", "2001:db8:99::6/64", "dev", "eth0"]);
    // Tentative at first, a duplicate then: it cannot be bound either way.
    let mut node = near.node("d", "*:4060", "", &[]);
    node.ready();
    let line = node.logged("cannot listen");
    assert!(line.contains("[2001:db8:99::6]:4060"), "{line}");
    assert_reached(near, "d", "10.77.0.1:4060");
}

#[test]
fn a_network_that_comes_later_is_followed() {
    let Some(net) = Network::new("a_network_that_comes_later_is_followed", 2) else { return };
    let (near, far) = (net.host(1), net.host(2));
    far.ip(&["addr", "flush", "dev", "eth0"]);
    let mut node = far.node("late", "*:4040", "", &[]);
    let (_, address) = node.ready();
    assert_eq!(address, "127.0.0.1:4040");
    far.ip(&["addr", "add", "10.77.0.9/24", "dev", "eth0"]);
    assert!(node.logged("addresses of this node have changed").contains("10.77.0.9:4040"));
    assert_reached(near, "late", "10.77.0.9:4040");
    far.ip(&["addr", "del", "10.77.0.9/24", "dev", "eth0"]);
    far.ip(&["addr", "add", "10.77.0.8/24", "dev", "eth0"]);
    let line = node.logged("addresses of this node have changed");
    assert!(line.contains("10.77.0.8:4040") && !line.contains("10.77.0.9"), "{line}");
}

#[test]
fn a_link_local_address_has_a_zone() {
    let Some(net) = Network::new("a_link_local_address_has_a_zone", 2) else { return };
    let (near, far) = (net.host(1), net.host(2));
    far.ip(&["addr", "add", "fe80::77:2/64", "dev", "eth0", "nodad"]);
    near.ip(&["addr", "add", "fe80::77:1/64", "dev", "eth0", "nodad"]);
    let mut seed = far.node("seed", "[fe80::77:2%eth0]:4040", "", &[]);
    seed.ready();
    assert_reached(near, "seed", "[fe80::77:2%eth0]:4040");
}

#[test]
fn a_seed_that_is_not_reached_is_named_with_the_reason() {
    let Some(net) = Network::new("a_seed_that_is_not_reached_is_named_with_the_reason", 2) else { return };
    let near = net.host(1);
    near.blackhole("10.77.0.66");
    near.names(&["10.77.0.66 gone", "2001:db8:77::2 gone"]);
    let mut node = near.node("a", "*:4040", "10.77.0.2:4040,nowhere.invalid:4040,gone:4041", &[]);
    let refused = node.logged("10.77.0.2:4040");
    assert!(refused.contains("WARN") && refused.contains("seed") && refused.contains("refused"), "{refused}");
    let unheard = node.logged("gone:4041");
    assert!(unheard.contains("10.77.0.66:4041: no answer"), "{unheard}");
    for (seed, why) in [
        ("10.77.0.2:4040", "refused"),
        ("nowhere.invalid:4040", "cannot be resolved"),
        ("gone:4041", "10.77.0.66:4041: no answer"),
    ] {
        for command in [["cal", "--timeout", "1", "x", "time"], ["db", "--timeout", "1", "--json", "'l"]] {
            let ran = near.run(seed, &command);
            assert_eq!(ran.status, Some(1), "{}", ran.stdout);
            assert!(ran.stderr.contains("no seed") && ran.stderr.contains(why), "{seed}: {}", ran.stderr);
        }
    }
}

#[test]
fn a_cut_in_one_direction_is_noticed_by_the_end_that_still_hears_as_soon_as_by_the_other() {
    let name = "a_cut_in_one_direction_is_noticed_by_the_end_that_still_hears_as_soon_as_by_the_other";
    let Some(net) = Network::new(name, 2) else { return };
    let (near, far) = (net.host(1), net.host(2));
    let mut deaf = far.node("deaf", "*:4040", "", &["monitor_timeout", "4"]);
    deaf.ready();
    // Alone it would wait far longer.
    let mut hears = near.node("hears", "*:4040", "10.77.0.2:4040", &["monitor_timeout", "600"]);
    wait_for(&mut deaf, "hears");
    wait_for(&mut hears, "deaf");
    near.blackhole("10.77.0.2");
    let line = deaf.logged("node down peer=hears");
    assert!(line.contains("nothing was heard"), "{line}");
    let line = hears.logged("node down peer=deaf");
    assert!(line.contains("reset"), "{line}");
}

#[test]
fn doctor_names_two_nodes_between_which_one_direction_is_cut() {
    let name = "doctor_names_two_nodes_between_which_one_direction_is_cut";
    let Some(net) = Network::new(name, 3) else { return };
    let (near, far, third) = (net.host(1), net.host(2), net.host(3));
    let seed_address = "10.77.0.3:4040";
    let quick = ["monitor_timeout", "2"];
    let mut seed = third.node("seed", "*:4040", "", &quick);
    let mut one = near.node("one", "*:4040", seed_address, &quick);
    let mut other = far.node("other", "*:4040", seed_address, &quick);
    for node in [&mut one, &mut other] {
        wait_for(node, "seed");
    }
    seed.ready();
    let measured = third.run(seed_address, &["latency", "one", "other"]);
    assert_eq!(measured.status, Some(0), "{}", measured.stderr);
    let healthy = third.run(seed_address, &["doctor"]);
    assert_eq!(healthy.status, Some(0), "{}", healthy.stdout);
    // Of both: each is a path of its own.
    near.blackhole("10.77.0.2");
    near.blackhole("2001:db8:77::2");
    for (node, peer) in [(&mut one, "other"), (&mut other, "one")] {
        node.logged(&format!("node down peer={peer}"));
    }
    let cut = third.run(seed_address, &["doctor", "--timeout", "3"]);
    assert_eq!(cut.status, Some(2), "{}", cut.stdout);
    assert!(cut.stdout.contains("one: and other cannot reach each other"), "{}", cut.stdout);
}
