//! The table at the end.

use std::fmt::Write;
use std::time::Duration;

/// What one worker has done, its replacements included.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tally {
    /// Chunks counted.
    pub(crate) chunks: u64,
    /// Bytes of these chunks.
    pub(crate) bytes: u64,
    /// Messages to it and from it.
    pub(crate) messages: u64,
    /// How often its process was replaced.
    pub(crate) restarts: u64,
}

/// The numbers of the whole run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Summary<'a> {
    /// Name and tally of each worker.
    pub(crate) workers: Vec<(String, Tally)>,
    /// All words, repeated ones too.
    pub(crate) words: u64,
    /// Words that are not the same.
    pub(crate) different: usize,
    /// The most frequent words.
    pub(crate) frequent: Vec<(&'a str, u64)>,
    /// How long the network took.
    pub(crate) took: Duration,
    /// How long the plain count took.
    pub(crate) plain: Duration,
    /// From SIGKILL to the monitor.
    pub(crate) noticed: Duration,
}

impl Summary<'_> {
    /// The whole table, in lines.
    pub(crate) fn render(&self) -> String {
        let mut rows = vec![["worker", "chunks", "bytes", "messages", "restarts"].map(str::to_owned)];
        let mut sum = Tally::default();
        for (name, tally) in &self.workers {
            rows.push(row(name, tally));
            sum.chunks += tally.chunks;
            sum.bytes += tally.bytes;
            sum.messages += tally.messages;
            sum.restarts += tally.restarts;
        }
        rows.push(row("in all", &sum));
        let mut out = align(&rows);
        let frequent: Vec<String> =
            self.frequent.iter().map(|(word, number)| format!("{word} {number}")).collect();
        let rate = sum.messages as f64 / self.took.as_secs_f64().max(f64::MIN_POSITIVE);
        let facts = [
            ("words", format!("{}, {} different", self.words, self.different)),
            ("most frequent", frequent.join(", ")),
            ("messages per second", format!("{rate:.0}")),
            ("kill to monitor", milliseconds(self.noticed)),
            ("time in the network", milliseconds(self.took)),
            ("time of a plain count", milliseconds(self.plain)),
        ];
        out.push('\n');
        for (name, fact) in facts {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{name:<23}{fact}");
        }
        out
    }
}

fn row(name: &str, tally: &Tally) -> [String; 5] {
    let number = |number: u64| number.to_string();
    [name.into(), number(tally.chunks), number(tally.bytes), number(tally.messages), number(tally.restarts)]
}

fn align(rows: &[[String; 5]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut out = String::new();
    for row in rows {
        let _ = write!(out, "{:<width$}", row[0], width = widths[0]);
        for (cell, width) in row.iter().zip(widths).skip(1) {
            let _ = write!(out, "  {cell:>width$}");
        }
        out.push('\n');
    }
    out
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned_and_sums_up() {
        let tally = |chunks, restarts| Tally { chunks, bytes: chunks * 1000, messages: chunks * 2, restarts };
        let summary = Summary {
            workers: vec![("worker-1".into(), tally(9, 0)), ("worker-2".into(), tally(10, 1))],
            words: 12,
            different: 3,
            frequent: vec![("a", 7), ("b", 3)],
            took: Duration::from_millis(500),
            plain: Duration::from_micros(1500),
            noticed: Duration::from_micros(250),
        };
        let expected = "\
worker    chunks  bytes  messages  restarts
worker-1       9   9000        18         0
worker-2      10  10000        20         1
in all        19  19000        38         1

words                  12, 3 different
most frequent          a 7, b 3
messages per second    76
kill to monitor        0.2 ms
time in the network    500.0 ms
time of a plain count  1.5 ms
";
        assert_eq!(summary.render(), expected);
    }
}
