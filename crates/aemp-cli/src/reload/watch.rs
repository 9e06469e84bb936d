//! Seeds that stand in a file, or in SRV records: a node follows them. Reading a file again and
//! again is simpler than being told of all the ways in which it can be replaced.

use std::time::Duration;

use aemp::Node;
use aemp_config::{Host, SeedSources, Settings};
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::sleep;

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
    let task = |interval| {
        let (node, sources, seeds) = (node.clone(), seed_sources.clone(), seeds.clone());
        tokio::spawn(watch(node, sources, interval, seeds)).abort_handle()
    };
    Following(seed_sources.interval().map(task))
}

async fn watch(node: Node, sources: SeedSources, interval: Duration, mut known: Vec<String>) {
    let mut failed = None;
    loop {
        sleep(interval).await;
        let looked_at = sources.clone();
        let found = spawn_blocking(move || looked_at.look_up(&Host::current())).await;
        let seeds = match found {
            // The runtime ends.
            Err(_) => return,
            Ok(Ok(seeds)) => seeds,
            Ok(Err(error)) => {
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
