//! A large network without faults: most nodes are connected to two of a few global nodes and to
//! nobody else. What it costs until the database has come to everybody who holds it or watches it,
//! and again when a global node is lost.

use std::time::Duration;

use aemp_proto::Framing;

use super::World;
use crate::options::{NetOptions, Options};

/// Global nodes.
const GLOBALS: usize = 8;

/// How many of them the other nodes are told.
const TOLD: usize = 2;

/// Other nodes that watch the database.
const WATCHERS: usize = 8;

const FAMILY: &str = "members";

/// How often the nodes are asked what they know, in virtual time.
const LOOK: Duration = Duration::from_millis(1);

/// The longest that anything may take, in virtual time.
const LIMIT: Duration = Duration::from_secs(120);

/// What a step in the life of the network has cost, in the whole of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Virtual time.
    pub time: Duration,
    /// Bytes that were written.
    pub bytes: u64,
    /// Requests of the mesh between two nodes.
    pub requests: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Steps of the simulation.
    pub steps: u64,
}

/// A network that was formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Formed {
    /// From the moment at which all nodes start until all who watch have seen an entry of every
    /// node.
    pub forming: Cost,
    /// From the end of one global node until all who watch know all others again.
    pub losing: Cost,
}

/// Lets this many nodes start at once, each with an entry of its own in the database, and then ends
/// a global node.
///
/// # Errors
///
/// How many had not seen everything after two minutes of virtual time.
pub fn form(nodes: usize, seed: u64) -> Result<Formed, String> {
    let mut world = World::new(options(nodes, seed));
    for index in 0..nodes {
        world.start(index);
        let Some(node) = &mut world.hosts[index].node else { continue };
        node.set(FAMILY, &index.to_string(), "here".into(), None, &mut world.cx);
        if index < GLOBALS + WATCHERS {
            node.watch(FAMILY, &mut world.cx);
        }
        node.settle(&mut world.cx);
    }
    let forming = world.until_all_know(nodes)?;
    world.lose(0);
    let losing = world.until_all_know(nodes - 1)?;
    Ok(Formed { forming, losing })
}

fn options(nodes: usize, seed: u64) -> Options {
    let timeout = Duration::from_secs(30);
    let mut options = Options::of_seed(seed).calm();
    options.monitor_timeouts = vec![timeout; nodes];
    options.framings = vec![Framing::ALL.to_vec(); nodes];
    options.private = vec![false; nodes];
    options.parts = vec![true; nodes];
    options.net = NetOptions { latency: Duration::from_millis(1), chunk: 64 << 10, buffer: 256 << 10 };
    options.driver_delay = Duration::ZERO;
    (options.nodes, options.seeds, options.seeds_told) = (nodes, GLOBALS, TOLD);
    options.history = false;
    options
}

impl World {
    /// Goes on until every node that watches knows this many entries.
    fn until_all_know(&mut self, entries: usize) -> Result<Cost, String> {
        let (began, before) = (self.cx.now, self.spent());
        let mut steps = 0;
        loop {
            steps += self.run_until(self.cx.now + LOOK);
            let waiting = self.hosts.iter().take(GLOBALS + WATCHERS).filter_map(|host| host.node.as_ref());
            let waiting = waiting.filter(|node| node.known_entries() != Some(entries)).count();
            if waiting == 0 {
                let (time, [bytes, requests, connections]) = (self.cx.now - began, self.spent());
                return Ok(Cost {
                    time,
                    bytes: bytes - before[0],
                    requests: requests - before[1],
                    connections: connections - before[2],
                    steps,
                });
            }
            if self.cx.now > began + LIMIT {
                return Err(format!("{waiting} nodes do not know {entries} entries after {LIMIT:?}"));
            }
        }
    }

    fn spent(&self) -> [u64; 3] {
        [self.cx.net.written(), self.cx.requests, self.cx.net.made()]
    }

    /// A node's process ends, and its host closes the connections.
    fn lose(&mut self, index: usize) {
        if let Some(node) = self.hosts[index].node.take() {
            node.stop(&mut self.cx);
        }
        for (wire, side) in self.cx.net.at(index) {
            self.cx.close(wire, side);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_nodes_become_known_and_a_lost_one_takes_nothing_with_it() {
        let formed = form(60, 1).unwrap();
        // Each ordinary node has its two, and the global ones have each other.
        let least = ((60 - GLOBALS) * TOLD + GLOBALS * (GLOBALS - 1) / 2) as u64;
        assert!((least..least * 2).contains(&formed.forming.connections), "{formed:?}");
        assert!(formed.losing.time < Duration::from_secs(10), "{formed:?}");
        assert_eq!(form(60, 1), Ok(formed), "a seed gives the same again");
    }
}
