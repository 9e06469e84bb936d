//! Log lines of one cause: one a second, the others are counted. Anyone who can make a node log
//! must not be able to fill its disk.

use std::collections::HashMap;
use std::time::Duration;

use aemp_proto::NodeId;
use aemp_proto::kernel::Time;
use parking_lot::Mutex;

/// At least this long from one line to the next.
const PAUSE: Duration = Duration::from_secs(1);

/// The lines of one cause.
#[derive(Default)]
pub(crate) struct Ration(Mutex<State>);

#[derive(Default)]
struct State {
    next: Time,
    withheld: u64,
}

impl Ration {
    /// Whether a line may be written now; then how many were withheld since the last one.
    pub(crate) fn take(&self, now: Time) -> Option<u64> {
        let mut state = self.0.lock();
        if now < state.next {
            state.withheld += 1;
            return None;
        }
        state.next = now + PAUSE;
        Some(std::mem::take(&mut state.withheld))
    }
}

/// The longest time from one line of a cause that lasts to the next.
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// Causes that are told apart. Beyond this all are forgotten, and each may be logged once more.
const CAUSES_MAX: usize = 1024;

/// The lines of many causes that may last, such as an address that does not answer: the first one
/// at once, then ever more rarely.
#[derive(Default)]
pub(crate) struct Rations(Mutex<HashMap<String, Cause>>);

struct Cause {
    next: Time,
    pause: Duration,
    withheld: u64,
}

impl Rations {
    /// Whether a line of this cause may be written now; then how many were withheld since the last
    /// one.
    pub(crate) fn take(&self, cause: &str, now: Time) -> Option<u64> {
        let mut causes = self.0.lock();
        if let Some(known) = causes.get_mut(cause) {
            if now < known.next {
                known.withheld += 1;
                return None;
            }
            known.pause = (known.pause * 2).min(PAUSE_MAX);
            known.next = now + known.pause;
            return Some(std::mem::take(&mut known.withheld));
        }
        if causes.len() >= CAUSES_MAX {
            causes.clear();
        }
        causes.insert(cause.into(), Cause { next: now + PAUSE, pause: PAUSE, withheld: 0 });
        Some(0)
    }

    /// The cause is gone: should it come back, that is news.
    pub(crate) fn forget(&self, cause: &str) {
        self.0.lock().remove(cause);
    }
}

/// Lines about one node that may come at once, and the time in which there is one more.
const OF_ONE_NODE: (u32, Duration) = (10, PAUSE);

/// The same for all nodes together: a large network may come up at once.
const OF_ALL_NODES: (u32, Duration) = (4096, Duration::from_millis(100));

/// The lines about nodes that come and go: a peer may do so as fast as it can connect, and under
/// any name.
#[derive(Default)]
pub(crate) struct NodeRations(Mutex<NodeCauses>);

#[derive(Default)]
struct NodeCauses {
    all: Allowance,
    nodes: HashMap<NodeId, Allowance>,
}

/// When all that was taken would be there again, and how many lines were withheld since the last
/// one.
#[derive(Default)]
struct Allowance {
    whole: Time,
    withheld: u64,
}

impl Allowance {
    fn is_left(&self, (burst, pause): (u32, Duration), now: Time) -> bool {
        self.whole.saturating_sub(now) <= pause * (burst - 1)
    }

    fn take(&mut self, (_, pause): (u32, Duration), now: Time) -> u64 {
        self.whole = self.whole.max(now) + pause;
        std::mem::take(&mut self.withheld)
    }
}

impl NodeRations {
    /// Whether a line about this node may be written now; then how many were withheld since the
    /// last one about it.
    pub(crate) fn take(&self, node: &NodeId, now: Time) -> Option<u64> {
        let mut causes = self.0.lock();
        let NodeCauses { all, nodes } = &mut *causes;
        if nodes.len() >= CAUSES_MAX {
            // Those that were quiet for long are as good as new.
            nodes.retain(|_, node| node.whole > now || node.withheld > 0);
        }
        if nodes.len() >= CAUSES_MAX * 4 {
            nodes.clear();
        }
        let known = nodes.entry(node.clone()).or_default();
        if !known.is_left(OF_ONE_NODE, now) || !all.is_left(OF_ALL_NODES, now) {
            known.withheld += 1;
            return None;
        }
        all.take(OF_ALL_NODES, now);
        Some(known.take(OF_ONE_NODE, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_comes_and_goes_all_the_time_makes_a_line_a_second_and_others_are_told_as_ever() {
        let rations = NodeRations::default();
        let [one, other] = ["one", "other"].map(|id| NodeId::new(id).expect("a node ID"));
        let at = Duration::from_millis;
        let lines: Vec<u64> = (0..1000).filter_map(|n| rations.take(&one, at(n * 20))).collect();
        assert_eq!(lines[..10], [0; 10]);
        assert!((28..=31).contains(&lines.len()), "{lines:?}");
        assert!(
            lines.iter().sum::<u64>() + lines.len() as u64 > 900,
            "what was withheld is counted: {lines:?}"
        );
        assert_eq!(rations.take(&other, at(20_000)), Some(0));
        // After a while it is a node like any other.
        assert!(rations.take(&one, at(60_000)).is_some_and(|withheld| withheld > 0));
        assert!((0..9).all(|_| rations.take(&one, at(60_000)) == Some(0)));
    }

    #[test]
    fn nodes_with_ever_new_names_make_ten_lines_a_second() {
        let rations = NodeRations::default();
        let named = |n: u64| NodeId::new(&format!("n{n}")).expect("a node ID");
        let at = |n: u64| Duration::from_millis(n / 10);
        let lines = (0..100_000).filter(|n| rations.take(&named(*n), at(*n)).is_some()).count();
        assert!((4096..=4300).contains(&lines), "{lines}");
        assert!(rations.0.lock().nodes.len() <= CAUSES_MAX * 4);
    }

    #[test]
    fn a_cause_that_lasts_is_logged_ever_more_rarely_and_anew_when_it_comes_back() {
        let rations = Rations::default();
        let at = Duration::from_secs;
        let seconds: Vec<u64> = (0..3000).filter(|now| rations.take("a", at(*now)).is_some()).collect();
        assert_eq!(seconds[..5], [0, 1, 3, 7, 15]);
        assert!(seconds.windows(2).all(|pair| pair[1] - pair[0] <= 600), "{seconds:?}");
        assert_eq!(rations.take("b", at(0)), Some(0));
        rations.forget("a");
        assert_eq!(rations.take("a", at(3000)), Some(0));
    }

    #[test]
    fn one_line_a_second_and_the_others_are_counted() {
        let ration = Ration::default();
        let at = Duration::from_millis;
        assert_eq!(ration.take(at(0)), Some(0));
        assert_eq!(ration.take(at(1)), None);
        assert_eq!(ration.take(at(999)), None);
        assert_eq!(ration.take(at(1000)), Some(2));
        assert_eq!(ration.take(at(5000)), Some(0));
    }
}
