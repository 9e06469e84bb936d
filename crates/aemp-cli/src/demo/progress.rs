//! What the demo says while it runs: lines, and a bar where a terminal is.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::Failure;

/// The share of the work between two lines where there is no terminal, in per cent.
const STEP: u64 = 20;

/// Lines on stdout and, if stderr is a terminal, a bar there.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    next: u64,
}

impl Progress {
    /// Nothing is done yet.
    pub(crate) fn new() -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {msg}");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Progress { bar, next: STEP }
    }

    /// A line.
    pub(crate) fn say(&self, line: &str) -> Result<(), Failure> {
        match &self.bar {
            Some(bar) => bar.suspend(|| crate::print(line)),
            None => crate::print(line),
        }
    }

    /// Shows that `bytes` of `of` bytes are counted.
    pub(crate) fn counted(&mut self, bytes: u64, of: u64) -> Result<(), Failure> {
        if let Some(bar) = &self.bar {
            bar.set_length(of);
            bar.set_position(bytes);
            return Ok(());
        }
        let percent = bytes.saturating_mul(100).checked_div(of).unwrap_or(100);
        if percent < self.next {
            return Ok(());
        }
        self.next = percent - percent % STEP + STEP;
        crate::print(&format!("{percent:3} % counted"))
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
