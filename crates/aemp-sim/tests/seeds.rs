//! Some seeds, so that an ordinary test run would notice; `.ci/run` has many more.

use std::sync::atomic::{AtomicU64, Ordering};

use aemp_sim::history::{Event, History, RELAYED};
use aemp_sim::options::Options;
use aemp_sim::{command, world};

/// Seeds in this test.
const SEEDS: u64 = 200;

#[track_caller]
fn kept(options: Options) -> History {
    let seed = options.seed;
    let outcome = world::run(options);
    let violations = outcome.violations();
    let told: Vec<String> = violations.iter().take(5).map(ToString::to_string).collect();
    assert!(violations.is_empty(), "seed {seed}: {told:#?}\nrepeat it: {}", command(seed));
    outcome.history
}

#[test]
fn a_few_hundred_seeds_keep_all_promises() {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS {
                        return;
                    }
                    kept(Options::of_seed(seed));
                }
            });
        }
    });
}

#[test]
fn seeds_that_have_failed_keep_all_promises() {
    let told = include_str!("failed-seeds.txt").lines().filter(|line| !line.starts_with('#'));
    for line in told {
        let (seed, story) = line.split_once(' ').expect("a seed and its story");
        assert!(!story.is_empty(), "seed {seed} has no story");
        kept(Options::of_seed(seed.parse().expect("a seed is a number")));
    }
}

#[test]
fn without_faults_nothing_is_lost_and_nothing_fires_for_a_loss() {
    for seed in 0..20 {
        let history = kept(Options::of_seed(seed).calm());
        assert!(
            !history.records.iter().any(|record| matches!(record.event, Event::Down { .. })),
            "seed {seed}"
        );
    }
}

#[test]
fn nodes_that_nobody_can_dial_keep_all_promises_among_each_other() {
    let mut relayed = 0;
    for seed in 1000..1030 {
        let mut options = Options::of_seed(seed);
        let seeds = options.seeds;
        options.private[seeds..].fill(true);
        options.relay.window = 4096;
        let shortest = options.monitor_timeouts.iter().min().copied().unwrap_or_default();
        options.net.latency = options.net.latency.min(shortest / 90);
        let history = kept(options);
        let is_relayed = |event: &Event| matches!(event, Event::Up { conn, .. } if conn & RELAYED != 0);
        relayed += history.records.iter().filter(|record| is_relayed(&record.event)).count();
    }
    assert!(relayed > 100, "{relayed} ends of carried connections");
}

#[test]
fn a_seed_gives_the_same_history_again() {
    for seed in [3, 22, 100] {
        let run = || world::run(Options::of_seed(seed)).history;
        assert!(run() == run(), "seed {seed}");
    }
}
