//! `aemp demo`: what the whole thing is for, on real input.
//!
//! A seed and some workers are started as processes. The workers register themselves in the shared
//! database, where this process finds them; they count the words of files in chunks (`job`, with
//! `schedule` as its rules), one of them is killed in the middle, its monitor fires, others take
//! over, a replacement appears in the database. The result is compared with a plain count
//! (`source`).

mod child;
mod corpus;
mod job;
mod network;
mod node;
mod progress;
mod schedule;
mod source;
mod table;
mod text;
mod worker;

use std::path::{Path, PathBuf};

use clap::Args;

use crate::failure::Failure;
use crate::logging::Logging;
use crate::run;
use corpus::Corpus;
use job::{Job, Outcome};
use network::Network;
pub(crate) use node::DemoNode;
use progress::Progress;
use source::{Plain, Source};
use table::Summary;

/// Chunks are at most this large (except where a word is larger), and smaller for small input, so
/// that every worker gets some.
const CHUNK: u64 = 64 << 10;

/// Count words in a network of processes, one of which is killed in the middle
///
/// Ends with a table of who did what, after checking the result against a plain count in one
/// process. Files that are not text, hidden ones and folders named `target` are left out.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Files and folders
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,
    /// How many worker processes
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(2..=256))]
    workers: u16,
}

impl Demo {
    pub(crate) async fn run(self, logging: &Logging) -> Result<(), Failure> {
        let ending = run::ending()?;
        let corpus = Corpus::find(&self.paths).map_err(Failure::usage)?;
        for (folder, why) in &corpus.skipped {
            tracing::warn!(folder = %folder.display(), why, "cannot be looked into");
        }
        if corpus.files.is_empty() {
            let paths: Vec<String> = self.paths.iter().map(|path| path.display().to_string()).collect();
            return Err(Failure::failed(format!("there are no files to count under {}", paths.join(", "))));
        }
        let logs = tempfile::Builder::new().prefix("aemp-demo-").tempdir();
        let logs =
            logs.map_err(|error| Failure::failed(format!("no folder for logs can be made: {error}")))?;
        let mut network = Network::new(logs.path(), logging.filter().unwrap_or("info"))?;
        let outcome = tokio::select! {
            outcome = self.count(corpus, &mut network) => outcome,
            () = ending => Err(Failure::interrupted()),
        };
        network.close().await;
        if outcome.as_ref().is_err_and(Failure::is_failed) {
            // The message of the failure names the logs.
            let _ = logs.keep();
        }
        outcome
    }

    async fn count(&self, corpus: Corpus, network: &mut Network<'_>) -> Result<(), Failure> {
        let mut progress = Progress::new();
        let bytes: u64 = corpus.files.iter().map(|file| file.bytes).sum();
        progress.say(&format!("{} files, {bytes} bytes; {} workers", corpus.files.len(), self.workers))?;
        network.start(usize::from(self.workers)).await?;
        let node = network.join().await?;
        let mut source = Source::start(corpus.files, (bytes / 200).clamp(64, CHUNK) as usize);
        let outcome = Job::new(&node, network, &mut progress, &mut source, bytes).run().await;
        node.shutdown().await;
        progress.finish();
        let (outcome, plain) = (outcome?, source.plain().await?);
        conclude(&outcome, &plain, network.logs())
    }
}

/// Prints the table and compares the counts.
fn conclude(outcome: &Outcome, plain: &Plain, logs: &Path) -> Result<(), Failure> {
    let tallies = outcome.tallies.iter().enumerate();
    let summary = Summary {
        workers: tallies.map(|(index, tally)| (network::name(index), tally.clone())).collect(),
        words: outcome.counts.values().sum(),
        different: outcome.counts.len(),
        frequent: text::most_frequent(&outcome.counts, 10),
        took: outcome.took,
        plain: plain.took,
        noticed: outcome.noticed,
    };
    crate::print(&format!("\n{}", summary.render()))?;
    if outcome.counts == plain.counts {
        return crate::print("the plain count in one process agrees");
    }
    let sum = |counts: &text::Counts| counts.values().sum::<u64>();
    let (theirs, ours) = (sum(&outcome.counts), sum(&plain.counts));
    Err(Failure::failed(format!(
        "the counts differ: the network has {theirs} words, a plain count {ours}. Look at the logs in {}",
        logs.display()
    )))
}
