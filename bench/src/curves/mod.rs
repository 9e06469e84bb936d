//! How the cost of one thing grows with the number of things: ports, monitors, entries of the
//! database, nodes.
//!
//! Every point is a process of its own. For each curve a plot is written, and a table with the
//! exponent: where the whole cost grows as n to the power of it, 1 is proportional. Much more than
//! 1 needs a reason.
//!
//! | file | what |
//! |---|---|
//! | [`points`] | what is done for one point |
//! | [`plot`] | the plots |

mod plot;
mod points;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub(crate) use points::run as point;

use crate::process;

/// The longest that one point may take; a curve ends with the first that takes longer.
const LIMIT: Duration = Duration::from_secs(240);

/// One curve.
pub(crate) struct Curve {
    /// The name of the plot's file.
    pub(crate) name: &'static str,
    title: &'static str,
    things: &'static str,
    /// What is done for a point; several curves can be of the same.
    work: &'static str,
    /// Which of the point's values it shows.
    value: &'static str,
    unit: &'static str,
    sizes: &'static [u64],
    /// The whole cost of n things is the value times n to this power: 0 if it is that of all of
    /// them, 2 for each pair.
    power: f64,
    /// Why it grows faster than n log n, if it does.
    reason: &'static str,
}

const DECADES: [u64; 5] = [1000, 10_000, 100_000, 1_000_000, 10_000_000];

/// Nodes of a simulated network, eight of them global and each other one connected to two of these.
const SIMULATED: [u64; 6] = [30, 100, 300, 1000, 3000, 10_000];

/// All of them.
pub(crate) const CURVES: &[Curve] = &[
    Curve {
        name: "ports",
        title: "Opening a port, one message to it, and its death",
        things: "ports",
        work: "ports",
        value: "us",
        unit: "µs each",
        sizes: &DECADES,
        power: 1.0,
        reason: "",
    },
    Curve {
        name: "ports-memory",
        title: "An idle port",
        things: "ports",
        work: "ports",
        value: "bytes",
        unit: "bytes each",
        sizes: &DECADES,
        power: 1.0,
        reason: "",
    },
    Curve {
        name: "monitors",
        title: "Setting a monitor, and its firing",
        things: "monitors",
        work: "monitors",
        value: "us",
        unit: "µs each",
        sizes: DECADES.split_at(4).0,
        power: 1.0,
        reason: "",
    },
    Curve {
        name: "database",
        title: "An entry set in one process and seen by a watch in another",
        things: "entries",
        work: "database",
        value: "us",
        unit: "µs each",
        // A node may own a million, and some of these are its own: where it listens, that it is
        // global.
        sizes: &[1000, 10_000, 100_000, 999_000],
        power: 1.0,
        reason: "",
    },
    Curve {
        name: "nodes",
        title: "A process that starts and joins a network",
        things: "nodes",
        work: "nodes",
        value: "ms",
        unit: "ms each",
        sizes: &[2, 4, 8, 16, 32, 64],
        power: 1.0,
        reason: "",
    },
    Curve {
        name: "pairs",
        title: "Two nodes that connect and talk, while all others do",
        things: "nodes",
        work: "nodes",
        value: "pair_us",
        unit: "µs a pair",
        sizes: &[2, 4, 8, 16, 32, 64],
        power: 2.0,
        reason: "Each node talks to each, so there are n²/2 pairs of them; what one pair costs does not grow.",
    },
    Curve {
        name: "simulated-bytes",
        title: "Simulated: bytes until all know the database",
        things: "nodes",
        work: "simulated",
        value: "bytes",
        unit: "bytes a node",
        sizes: &SIMULATED,
        power: 1.0,
        reason: "",
    },
    Curve {
        name: "simulated-requests",
        title: "Simulated: requests between nodes until all know the database",
        things: "nodes",
        work: "simulated",
        value: "requests",
        unit: "requests a node",
        sizes: &SIMULATED,
        power: 1.0,
        reason: "",
    },
    Curve {
        name: "simulated-wait",
        title: "Simulated: virtual time until all know the database",
        things: "nodes",
        work: "simulated",
        value: "ms",
        unit: "ms for all",
        sizes: &SIMULATED,
        power: 0.0,
        reason: "",
    },
    Curve {
        name: "simulated-loss",
        title: "Simulated: bytes when one of eight global nodes is lost",
        things: "nodes",
        work: "simulated",
        value: "lost_bytes",
        unit: "bytes a node",
        sizes: &SIMULATED,
        power: 1.0,
        reason: "",
    },
    Curve {
        name: "simulated-work",
        title: "Simulated: what the simulator takes for a node",
        things: "nodes",
        work: "simulated",
        value: "us",
        unit: "µs a node",
        sizes: &SIMULATED,
        power: 1.0,
        reason: "",
    },
];

/// The values of all points, by work, size and name.
#[derive(Default)]
pub(crate) struct Points {
    all: BTreeMap<(&'static str, u64), BTreeMap<String, f64>>,
}

impl Points {
    /// Measures what these curves need.
    pub(crate) fn measure(curves: &[&Curve], divide: u64) -> Points {
        let mut points = Points::default();
        for curve in curves {
            for size in curve.sizes.iter().map(|size| size / divide).filter(|size| *size > 1) {
                if points.all.contains_key(&(curve.work, size)) {
                    continue;
                }
                eprint!("\r\x1b[Kcurve {}: {size} {}", curve.name, curve.things);
                let Some(values) = one(curve.work, size) else {
                    eprintln!("\r\x1b[Kthe curve {} ends before {size} {}", curve.name, curve.things);
                    break;
                };
                points.all.insert((curve.work, size), values);
            }
        }
        eprint!("\r\x1b[K");
        points
    }

    fn of(&self, curve: &Curve) -> Vec<(f64, f64)> {
        let own = self.all.iter().filter(|((work, _), _)| *work == curve.work);
        own.filter_map(|((_, size), values)| Some((*size as f64, *values.get(curve.value)?))).collect()
    }

    /// A table in Markdown with the exponents.
    pub(crate) fn table(&self, curves: &[&Curve]) -> String {
        let mut out = String::new();
        for curve in curves {
            let points = self.of(curve);
            if points.is_empty() {
                continue;
            }
            let values: Vec<String> =
                points.iter().map(|(size, value)| format!("{size}: {}", digits(*value))).collect();
            let name = curve.name;
            // Writing to a string cannot fail.
            let _ = write!(
                out,
                "- **{}**, {} for this many {}: {}. ",
                curve.title,
                curve.unit,
                curve.things,
                values.join(", ")
            );
            if let Some(slope) = slope(&points) {
                let exponent = curve.power + slope;
                let _ = write!(out, "Together n^{exponent:.2}. ");
            }
            let _ = writeln!(out, "{}\n  ![{name}](bench/{name}.svg)", curve.reason);
        }
        out
    }

    /// Writes the plots into a folder.
    pub(crate) fn plots(&self, curves: &[&Curve], folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        for curve in curves {
            let points = self.of(curve);
            if points.len() > 1 {
                plot::write(&folder.join(format!("{}.svg", curve.name)), curve, &points)
                    .map_err(io::Error::other)?;
            }
        }
        Ok(())
    }
}

fn one(work: &str, size: u64) -> Option<BTreeMap<String, f64>> {
    let mut command = Command::new(std::env::current_exe().ok()?);
    command.args(["point", work, &size.to_string()]);
    let text = process::output(command, LIMIT)?;
    serde_json::from_str(text.lines().last()?).ok()
}

/// The power of n with which a value grows: the slope where both axes are logarithmic. The whole
/// cost of n things grows with one more than that of one thing.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = logs.len() as f64;
    let (mean_x, mean_y) =
        (logs.iter().map(|l| l.0).sum::<f64>() / count, logs.iter().map(|l| l.1).sum::<f64>() / count);
    let spread: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let common: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    (spread > 0.0).then(|| common / spread)
}

fn digits(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_the_power_of_n() {
        let constant = [(10.0, 3.0), (100.0, 3.0), (1000.0, 3.0)];
        let linear = [(10.0, 1.0), (100.0, 10.0), (1000.0, 100.0)];
        assert!(slope(&constant).unwrap().abs() < 1e-9);
        assert!((slope(&linear).unwrap() - 1.0).abs() < 1e-9);
        assert!(slope(&constant[..1]).is_none());
    }
}
