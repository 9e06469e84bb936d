//! The network of the demo: a seed and the workers, each a process.

use std::path::Path;

use aemp::{Node, NodeId};
use aemp_config::random_text;
use serde_json::{Value as Json, json};

use super::child::Child;
use super::worker::WORKER;
use crate::failure::Failure;

/// The processes. They end when this is closed, and are killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Network<'a> {
    logs: &'a Path,
    filter: &'a str,
    secret: String,
    seed: Option<Child>,
    seeds: Vec<String>,
    workers: Vec<Option<Child>>,
}

impl<'a> Network<'a> {
    /// A network without processes and with a secret of its own. Processes log to the folder
    /// `logs`.
    pub(crate) fn new(logs: &'a Path, filter: &'a str) -> Result<Network<'a>, Failure> {
        let secret = random_text(64)?;
        Ok(Network { logs, filter, secret, seed: None, seeds: Vec::new(), workers: Vec::new() })
    }

    /// Starts the seed and this many workers. The workers need not listen yet when this returns:
    /// they are found later.
    pub(crate) async fn start(&mut self, workers: usize) -> Result<(), Failure> {
        let settings = self.settings("demo/seed", "aemp::global");
        let seed = self.seed.insert(Child::spawn("seed", self.logs, self.filter)?);
        seed.configure(&settings).await?;
        self.seeds = seed.listeners().await?;
        self.workers.resize_with(workers, || None);
        for index in 0..workers {
            self.start_worker(index).await?;
        }
        Ok(())
    }

    /// Starts a worker, or its replacement.
    pub(crate) async fn start_worker(&mut self, index: usize) -> Result<(), Failure> {
        let name = name(index);
        let settings = self.settings(&format!("demo/{name}"), WORKER);
        let child = self.workers[index].insert(Child::spawn(&name, self.logs, self.filter)?);
        child.configure(&settings).await
    }

    fn settings(&self, node: &str, service: &str) -> Json {
        json!({
            "nodeid": node, "secret": self.secret, "seeds": self.seeds, "binds": ["127.0.0.1:0"], "services": [service],
        })
    }

    /// A node of this process in the network.
    pub(crate) async fn join(&self) -> Result<Node, Failure> {
        let builder =
            Node::builder().id("demo/coordinator").bind("127.0.0.1:0").secret(self.secret.as_bytes());
        let builder = self.seeds.iter().fold(builder, |builder, seed| builder.seed(seed));
        Ok(builder.start().await?)
    }

    /// Which worker this node is.
    pub(crate) fn worker_of(&self, node: &NodeId) -> Option<usize> {
        (0..self.workers.len()).find(|&index| node.as_str().strip_prefix("demo/") == Some(&name(index)))
    }

    /// The folder with the logs.
    pub(crate) fn logs(&self) -> &'a Path {
        self.logs
    }

    /// How many workers there are to be.
    pub(crate) fn size(&self) -> usize {
        self.workers.len()
    }

    /// Kills a worker.
    pub(crate) async fn kill(&mut self, index: usize) -> Result<(), Failure> {
        match self.workers[index].take() {
            Some(child) => child.kill().await,
            None => Ok(()),
        }
    }

    /// Fails if a process has ended that nobody has killed.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        for child in self.workers.iter_mut().chain([&mut self.seed]).flatten() {
            if let Some(status) = child.ended() {
                return Err(child.blame("ended by itself", status));
            }
        }
        Ok(())
    }

    /// An error that a worker is to blame for.
    pub(crate) fn blame(&self, index: usize, what: &str, why: impl std::fmt::Display) -> Failure {
        match &self.workers[index] {
            Some(child) => child.blame(what, why),
            None => Failure::failed(format!("{} {what}: {why}", name(index))),
        }
    }

    /// Ends all processes, the seed last.
    pub(crate) async fn close(self) {
        for child in self.workers.into_iter().chain([self.seed]).flatten() {
            child.close().await;
        }
    }
}

/// The name of a worker for people.
pub(crate) fn name(index: usize) -> String {
    format!("worker-{}", index + 1)
}
