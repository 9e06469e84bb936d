//! Seeds that stand in a file: a node follows the file.

use std::time::Duration;

use aemp::Node;
use aemp_config::{Host, SeedSources, Settings};
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// How often the file is looked at. It is small, and reading it is simpler than being told of every
/// way in which a file can be replaced.
const LOOK: Duration = Duration::from_secs(1);

/// Follows the seeds, until it is dropped.
#[derive(Default)]
pub(crate) struct Following(Option<AbortHandle>);

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Follows the seeds from now on, if they can change.
pub(crate) fn follow(node: &Node, settings: &Settings) -> Following {
    let Settings { seed_sources, seeds, .. } = settings;
    let task = || tokio::spawn(watch(node.clone(), seed_sources.clone(), seeds.clone())).abort_handle();
    Following(seed_sources.can_change().then(task))
}

async fn watch(node: Node, sources: SeedSources, mut known: Vec<String>) {
    let mut failed = None;
    loop {
        sleep(LOOK).await;
        let seeds = match sources.look_up(&Host::current()) {
            Ok(seeds) => seeds,
            Err(error) => {
                // Once, not every time.
                let error = error.to_string();
                if failed.as_ref() != Some(&error) {
                    tracing::warn!("the seeds stay as they are: {error}");
                }
                failed = Some(error);
                continue;
            }
        };
        failed = None;
        if seeds == known {
            continue;
        }
        match node.set_seeds(&seeds) {
            Ok(()) => tracing::info!(seeds = seeds.join(", "), "the seeds have changed"),
            Err(error) => tracing::warn!("the seeds stay as they are: {error}"),
        }
        known = seeds;
    }
}
