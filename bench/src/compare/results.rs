//! The lines of all runs, and what can be said of several: least, median, most.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use crate::catalogue::{Kind, SYSTEMS, Workload};

/// One run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) system: String,
    pub(super) workload: String,
    pub(super) count: u64,
    pub(super) seconds: f64,
    /// In the unit of the workload.
    pub(super) figure: f64,
    #[serde(default)]
    pub(super) extra: BTreeMap<String, f64>,
    #[serde(default)]
    pub(super) round: usize,
    /// Cores that other programs used meanwhile.
    #[serde(default)]
    pub(super) others: f64,
}

/// Figures in order.
pub(super) struct Spread(Vec<f64>);

impl Spread {
    pub(super) fn new(figures: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        (!sorted.is_empty()).then_some(Spread(sorted))
    }

    /// The middle one; between the two middle ones where they are even in number.
    pub(super) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub(super) fn least(&self) -> f64 {
        self.0[0]
    }

    pub(super) fn most(&self) -> f64 {
        self.0[self.0.len() - 1]
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn quantile(&self, share: f64) -> f64 {
        let place = (self.0.len() - 1) as f64 * share;
        let (low, high) = (self.0[place.floor() as usize], self.0[place.ceil() as usize]);
        low + (high - low) * place.fract()
    }
}

/// All runs, and what went wrong.
#[derive(Default)]
pub(super) struct Results {
    all: Vec<Line>,
    pub(super) failures: Vec<String>,
    /// Systems that were left out, and why.
    pub(super) skipped: BTreeMap<&'static str, String>,
}

impl Results {
    pub(super) fn add(&mut self, line: Result<Line, String>) {
        match line {
            Ok(line) => self.all.push(line),
            Err(failure) => self.failures.push(failure),
        }
    }

    pub(super) fn skip(&mut self, system: &'static str, why: String) {
        self.skipped.insert(system, why);
    }

    /// The runs of a workload on a system.
    pub(super) fn runs<'a>(&'a self, workload: &'a str, system: &'a str) -> impl Iterator<Item = &'a Line> {
        self.all.iter().filter(move |line| line.workload == workload && line.system == system)
    }

    /// The figures of a workload on a system.
    pub(super) fn figures(&self, workload: &str, system: &str) -> Option<Spread> {
        Spread::new(self.runs(workload, system).map(|line| line.figure))
    }

    /// Something beside the figure.
    pub(super) fn beside(&self, workload: &str, system: &str, name: &str) -> Option<Spread> {
        Spread::new(self.runs(workload, system).filter_map(|line| line.extra.get(name).copied()))
    }

    /// The system of this kind that is best at a workload, by its median.
    pub(super) fn best(&self, workload: &Workload, kind: Kind) -> Option<(&'static str, Spread)> {
        let candidates = SYSTEMS.iter().filter(|system| system.kind == kind);
        let known =
            candidates.filter_map(|system| Some((system.name, self.figures(workload.name, system.name)?)));
        known.reduce(|best, other| {
            let better = (other.1.median() < best.1.median()) == workload.less;
            if better { other } else { best }
        })
    }

    /// What aemp is compared with: the best socket alone, or the best floor where a socket alone
    /// does not do.
    pub(super) fn floor(&self, workload: &Workload) -> Option<(&'static str, Spread)> {
        self.best(workload, Kind::Raw).or_else(|| self.best(workload, Kind::Floor))
    }

    /// The least median of something beside the figure, among the systems of this kind.
    pub(super) fn least_beside(&self, workload: &str, kind: Kind, name: &str) -> Option<f64> {
        let systems = SYSTEMS.iter().filter(|system| system.kind == kind);
        let medians = systems.filter_map(|system| Some(self.beside(workload, system.name, name)?.median()));
        medians.min_by(f64::total_cmp)
    }

    /// One line of JSON a run.
    pub(super) fn lines(&self) -> io::Result<String> {
        let mut text = String::new();
        for line in &self.all {
            text += &serde_json::to_string(line)?;
            text.push('\n');
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::WORKLOADS;

    fn line(system: &str, workload: &str, figure: f64) -> Result<Line, String> {
        Ok(Line {
            system: system.into(),
            workload: workload.into(),
            count: 1,
            seconds: 1.0,
            figure,
            extra: BTreeMap::new(),
            round: 0,
            others: 0.0,
        })
    }

    #[test]
    fn a_median_of_even_many_lies_between_the_middle_ones() {
        let spread = Spread::new([4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!((spread.least(), spread.median(), spread.most()), (1.0, 2.5, 4.0));
        assert_eq!(Spread::new([7.0]).unwrap().quantile(0.75), 7.0);
        assert!(Spread::new([]).is_none());
    }

    #[test]
    fn a_socket_alone_counts_before_a_floor() {
        let mut results = Results::default();
        results.add(line("floor", "r2", 30.0));
        results.add(line("raw", "r2", 10.0));
        results.add(line("raw-ct", "r2", 20.0));
        results.add(line("floor", "r1", 30.0));
        let floor = |name: &str| {
            let workload = WORKLOADS.iter().find(|workload| workload.name == name).unwrap();
            results.floor(workload).unwrap().0
        };
        assert_eq!((floor("r2"), floor("r1")), ("raw-ct", "floor"));
    }

    #[test]
    fn the_best_floor_is_the_fastest_or_the_smallest() {
        let mut results = Results::default();
        for workload in ["l1", "l3mem"] {
            results.add(line("floor", workload, 10.0));
            results.add(line("floor-ct", workload, 20.0));
            results.add(line("aemp", workload, 99.0));
        }
        let best = |name: &str| {
            let workload = WORKLOADS.iter().find(|workload| workload.name == name).unwrap();
            results.best(workload, Kind::Floor).unwrap().0
        };
        assert_eq!(best("l1"), "floor-ct");
        assert_eq!(best("l3mem"), "floor");
    }
}
