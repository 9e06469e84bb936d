//! Seeds that stand in a file, or in SRV records: a node follows them. Reading a file again and
//! again is simpler than being told of all the ways in which it can be replaced.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aemp::Node;
use aemp_config::{Host, SeedSources, Settings};
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::sleep;

/// Follows the seeds, until it is dropped.
#[derive(Default)]
pub(crate) struct Following {
    task: Option<AbortHandle>,
    /// The seeds that are in force; `None` when nobody follows them any more.
    in_force: InForce,
}

type InForce = Arc<Mutex<Option<Vec<String>>>>;

impl Following {
    /// Ends, and gives the seeds that are in force, if they were followed.
    pub(crate) fn stop(&self) -> Option<Vec<String>> {
        self.task.iter().for_each(AbortHandle::abort);
        // From here on a task that runs just now changes nothing.
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Follows the seeds from now on, if they can change.
pub(crate) fn follow(node: &Node, settings: &Settings) -> Following {
    let Settings { seed_sources, seeds, .. } = settings;
    let in_force = InForce::new(Mutex::new(Some(seeds.clone())));
    let task = |interval| {
        let (node, sources, in_force) = (node.clone(), seed_sources.clone(), in_force.clone());
        tokio::spawn(watch(node, sources, interval, in_force)).abort_handle()
    };
    Following { task: seed_sources.interval().map(task), in_force }
}

async fn watch(node: Node, sources: SeedSources, interval: Duration, in_force: InForce) {
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
        let mut in_force = in_force.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = in_force.as_mut() else { return };
        if seeds == *known {
            continue;
        }
        match node.set_seeds(&seeds) {
            Ok(()) => tracing::info!(seeds = seeds.join(", "), "the seeds have changed"),
            Err(error) => tracing::warn!("the seeds stay as they are: {error}"),
        }
        *known = seeds;
    }
}
