//! The checkers are checked: for each of many bugs that can be built into the simulated library
//! there has to be a seed in which somebody notices, and by the rule that is meant for it.

use std::sync::Mutex;

use aemp_sim::options::{Options, Sabotage};
use aemp_sim::world;

/// Seeds in which a bug has to be noticed.
const SEEDS: u64 = 200;

/// Says why, if no seed breaks one of the `wanted` rules with this bug.
fn missed(sabotage: Sabotage, wanted: &[&str]) -> Option<String> {
    let mut shown = 0;
    let mut others = Vec::new();
    for seed in 0..SEEDS {
        let mut options = Options::of_seed(seed);
        options.sabotage = Some(sabotage);
        let outcome = world::run(options);
        shown += outcome.sabotaged;
        let rules: Vec<&str> = outcome.violations().iter().map(|violation| violation.rule).collect();
        if rules.iter().any(|rule| wanted.contains(rule)) {
            return None;
        }
        others.extend(rules);
    }
    others.sort_unstable();
    others.dedup();
    Some(format!(
        "{sabotage:?} showed itself {shown} times, and none of {wanted:?} was reported, only {others:?}"
    ))
}

/// What has to notice each bug.
fn rules(sabotage: Sabotage) -> &'static [&'static str] {
    match sabotage {
        Sabotage::DropMessage | Sabotage::NoGate | Sabotage::OpenForDying => &["M4"],
        Sabotage::KeepGate => &["M13"],
        Sabotage::DropHeld => &["M4", "M5"],
        Sabotage::DoubleMessage => &["M2"],
        Sabotage::SwapMessages => &["M3"],
        Sabotage::AlterMessage | Sabotage::InventMessage => &["M1"],
        Sabotage::LoseFire => &["MON2", "M5"],
        Sabotage::FireTwice => &["MON1"],
        Sabotage::FireWithdrawn => &["MON3"],
        Sabotage::WrongReason => &["MON5"],
        Sabotage::LateFrames => &["M3", "M4"],
        Sabotage::OldIncarnation => &["P2"],
        Sabotage::DeliverToDead => &["M9"],
        Sabotage::InitTwice => &["S1"],
        Sabotage::InitUnknown => &["S4"],
        Sabotage::ReusePort => &["P1"],
        Sabotage::HideDown => &["N1"],
        Sabotage::ForgetSet | Sabotage::ForgetDelete => &["DB1"],
        Sabotage::HideWatchEvent => &["DB6", "DB7"],
        Sabotage::AnswerTwice => &["DB8"],
        Sabotage::KeepWatchers => &["MON8"],
        Sabotage::Overtake => &["M12"],
        Sabotage::LoseLink => &["L1"],
        Sabotage::EndlessCall => &["C1", "C2"],
        Sabotage::LateAnswer => &["C1"],
        Sabotage::NewsFirst => &["MON7"],
        Sabotage::OneReceiver => &["B1"],
        Sabotage::ForgetWaiting => &["N7"],
        Sabotage::DownFirst => &["N2"],
        Sabotage::Unchecked => &["N5", "M6"],
        Sabotage::ResetAtEnd => &["D1"],
        Sabotage::WaitWithoutGate => &["M4"],
        Sabotage::NoIntroduction => &["NET2", "DB1"],
        Sabotage::DropFrame => &["F4"],
    }
}

#[test]
fn every_bug_is_noticed_by_the_rule_that_is_meant_for_it() {
    let queue = Mutex::new(Sabotage::ALL.iter());
    let all = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().ok().and_then(|mut queue| queue.next().copied());
                    let Some(sabotage) = next else { return };
                    if let Some(why) = missed(sabotage, rules(sabotage)) {
                        all.lock().expect("nobody panics with it").push(why);
                    }
                }
            });
        }
    });
    let all = all.into_inner().expect("nobody panics with it");
    assert!(all.is_empty(), "{all:#?}");
}
