//! Histories made by hand, for rules that a run seldom comes to.

use std::time::Duration;

use aemp_sim::check::{self, Bounds};
use aemp_sim::history::{Event, History};

/// A port on node `b`, to which `a#1` sends.
const TARGET: &str = "b#1";

/// Puts down what happens, 1 ms apart.
#[derive(Default)]
struct Story {
    history: History,
    now: u64,
    /// It is told from outside of the library.
    outside: Option<Duration>,
}

impl Story {
    /// Two nodes with a port each, connected, and one more port on `a`.
    fn new() -> Story {
        let mut story = Story::default();
        for node in ["a", "b"] {
            let start =
                Event::Start { global: false, seeds: vec![], functions: vec![], address: node.to_string() };
            story.at(node, start);
        }
        for port in ["a#1", "a#2", TARGET, "b#2"] {
            story.at(&port[..1], Event::PortNew { p: port.into(), task: false });
        }
        story.up();
        story
    }

    fn at(&mut self, node: &str, event: Event) {
        self.now += 1000;
        self.history.push(self.now, node, 1, event);
    }

    fn up(&mut self) {
        self.at("a", Event::Up { peer: "b".into(), pinc: 1, conn: 1 });
        self.at("b", Event::Up { peer: "a".into(), pinc: 1, conn: 1 });
    }

    /// The connection is lost, as `a` sees it.
    fn lose(&mut self) {
        self.at("a", Event::Broke { peer: "b".into(), epoch: 0, lost: 0, fires: 0 });
        self.at("a", Event::Down { peer: "b".into(), conn: 1, reason: "reset".into() });
    }

    fn send(&mut self, k: u64, p: &str, epoch: u64) {
        self.at(
            "a",
            Event::Snd { sid: "a#1".into(), p: p.into(), k, hash: k, epoch: Some(epoch), held: false },
        );
    }

    fn receive(&mut self, k: u64, p: &str, n: u64) {
        self.at("b", Event::Rcv { p: p.into(), k, hash: k, n: Some(n) });
    }

    /// Sets a monitor of `a` on the target; its news goes to `a#2`.
    fn monitor(&mut self, m: u64) {
        self.at(
            "a",
            Event::Mon { sid: "a#1".into(), m, p: TARGET.into(), to: Some("a#2".into()), waits: false },
        );
    }

    fn kill(&mut self, p: &str) {
        self.at(
            "b",
            Event::Kil { sid: TARGET.into(), p: p.into(), reason: vec!["killed".into()], held: false },
        );
    }

    /// The rules about messages that it breaks.
    fn broken(self) -> Vec<&'static str> {
        let mut rules = self.broken_of_all();
        rules.retain(|rule| rule.starts_with('M') && !rule.starts_with("MON"));
        rules
    }

    /// All rules that it breaks.
    fn broken_of_all(mut self) -> Vec<&'static str> {
        self.at("a", Event::End);
        let second = Duration::from_secs(1);
        let bounds =
            Bounds { detect: second, heal: second, pressure: None, one_thread: true, outside: self.outside };
        let mut rules: Vec<&str> =
            check::all(&self.history, &bounds).iter().map(|violation| violation.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}

#[test]
fn a_kill_that_is_lost_makes_no_port_deaf() {
    let mut story = Story::new();
    story.monitor(1);
    story.kill("a#2");
    story.send(1, TARGET, 0);
    story.lose();
    story.send(2, TARGET, 1);
    story.receive(2, TARGET, 1);
    assert_eq!(story.broken(), ["M4", "M5"]);
}

#[test]
fn of_what_a_port_that_is_to_die_cannot_hear_nothing_passes_before_it_is_gone() {
    let broken = |gone: bool| {
        let mut story = Story::new();
        story.monitor(1);
        story.kill("a#2");
        story.at("a", Event::PortClosed { p: "a#2".into() });
        story.send(1, TARGET, 0);
        story.lose();
        if gone {
            story.at("a", Event::PortDied { p: "a#2".into(), reason: vec!["killed".into()] });
        }
        story.send(2, TARGET, 1);
        story.receive(2, TARGET, 1);
        story.broken()
    };
    assert!(broken(false).contains(&"M4"));
    assert_eq!(broken(true), [""; 0]);
}

/// Seeds 102575 and 105836.
#[test]
fn news_may_lie_in_the_mailbox_of_a_port_to_which_a_lost_kill_was_sent() {
    let mut story = Story::new();
    story.kill("a#2");
    story.monitor(1);
    story.lose();
    story.at("a", Event::Unmon { m: 1 });
    story.send(1, TARGET, 1);
    story.send(2, TARGET, 1);
    story.receive(2, TARGET, 1);
    assert_eq!(story.broken(), [""; 0]);
}

#[test]
fn who_withdraws_a_monitor_long_after_a_loss_should_have_been_told() {
    let told_late = |wait: u64| {
        let mut story = Story::new();
        story.now += 10_000_000; // that nodes start is a fault
        story.at("a", Event::Mon { sid: "a#1".into(), m: 1, p: TARGET.into(), to: None, waits: false });
        story.send(1, TARGET, 0);
        story.now += wait;
        story.at("a", Event::Unmon { m: 1 });
        story.broken()
    };
    assert_eq!(told_late(500_000), [""; 0]);
    assert_eq!(told_late(2_000_000), ["M5"]);
}

/// Seed 23634098958369617.
#[test]
fn news_of_a_loss_may_wait_in_a_slow_mailbox() {
    let fired = |lost: bool| {
        let mut story = Story::new();
        story.monitor(1);
        if lost {
            story.lose();
        }
        story.now += 10_000_000;
        let reason = ["transport_error", "b", "reset"].map(String::from).to_vec();
        story.at("a", Event::Fire { m: 1, reason });
        story.broken()
    };
    assert_eq!(fired(true), [""; 0]);
    assert_eq!(fired(false), ["M6"]);
}

#[test]
fn one_sender_is_heard_in_order_by_different_ports_of_a_node() {
    let arrived = |first: u64, second: u64| {
        let mut story = Story::new();
        story.send(1, TARGET, 0);
        story.send(2, "b#2", 0);
        // Who handles its message first says nothing.
        story.receive(2, "b#2", second);
        story.receive(1, TARGET, first);
        story.broken()
    };
    assert_eq!(arrived(1, 2), [""; 0]);
    assert_eq!(arrived(2, 1), ["M12"]);
}

#[test]
fn from_outside_a_loss_may_be_noted_later_than_what_came_behind_it() {
    let told = |outside: Option<Duration>| {
        let mut story = Story { outside, ..Story::new() };
        story.send(1, TARGET, 0);
        story.send(2, TARGET, 0);
        story.receive(2, TARGET, 1);
        story.lose();
        story.broken()
    };
    assert_eq!(told(None), ["M4"]);
    assert_eq!(told(Some(Duration::from_secs(1))), [""; 0]);
}

#[test]
fn from_outside_too_a_sender_must_have_been_told_before_something_arrives_behind_a_hole() {
    let mut story = Story { outside: Some(Duration::from_secs(1)), ..Story::new() };
    let to = Some("a#1".to_string());
    story.at("a", Event::Mon { sid: "a#1".into(), m: 1, p: TARGET.into(), to, waits: false });
    story.send(1, TARGET, 0);
    story.lose();
    story.send(2, TARGET, 1);
    story.receive(2, TARGET, 1);
    assert_eq!(story.broken(), ["M4", "M5"]);
}

/// Seed 33933954449475 of the torture.
#[test]
fn news_of_a_loss_are_no_news_of_a_death_that_has_the_same_reason_later() {
    let told = |node: &str| {
        let mut story = Story::new();
        let reason = ["transport_error", node, "reset"].map(String::from).to_vec();
        let to = Some("b#2".to_string());
        story.at("b", Event::Mon { sid: "b#2".into(), m: 1, p: "a#1".into(), to, waits: false });
        story.at("b", Event::Fire { m: 1, reason: reason.clone() });
        story.send(1, "b#2", 0);
        story.receive(1, "b#2", 1);
        story.at("a", Event::PortDied { p: "a#1".into(), reason });
        story.broken_of_all().contains(&"MON7")
    };
    assert!(!told("a"));
    assert!(told("c"));
}
