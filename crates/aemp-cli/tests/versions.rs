//! Two versions of the command in one network, each in each place. `.ci/versions` builds the
//! previous release, and names it in `$AEMP_PREVIOUS`; without that there is nothing to test.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod support;

use std::process::Command;

use support::{Running, User};

/// This version.
const NEW: &str = env!("CARGO_BIN_EXE_aemp");

/// A network of three nodes, the first of which is the seed of the others and of the commands.
struct Network {
    user: User,
    nodes: Vec<Running>,
    seed: String,
}

impl Network {
    fn new() -> Network {
        Network { user: User::new(), nodes: Vec::new(), seed: String::new() }
    }

    fn add(&mut self, program: &str, id: &str) {
        let mut arguments = vec!["run", "norc", "1", "nodeid", id, "secret", "a secret for two versions"];
        arguments.extend(["binds", "127.0.0.1:0", "services", "aemp::echo"]);
        if !self.seed.is_empty() {
            arguments.extend(["seeds", &self.seed]);
        }
        let mut node = Running::start(self.command(program, &arguments));
        let (_, address) = node.ready();
        if self.seed.is_empty() {
            self.seed = address;
            self.user.ok(&["setsecret", "a secret for two versions", "setseeds", &self.seed]);
        }
        self.nodes.push(node);
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.user.home()).env_clear().env("HOME", self.user.home());
        command
    }

    /// What a command of this version prints.
    fn ok(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program, arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// The ports of the family, once it has this number of them.
    fn family(&self, program: &str, count: usize) -> Vec<String> {
        loop {
            let ports = self.ok(program, &["db", "aemp::echo"]);
            if ports.lines().count() == count {
                return ports.lines().map(str::to_owned).collect();
            }
        }
    }
}

#[test]
fn nodes_and_commands_of_two_versions_work_together() {
    let Ok(old) = std::env::var("AEMP_PREVIOUS") else {
        println!(
            "skipped: two versions at once: AEMP_PREVIOUS does not name the previous release (see .ci/versions)"
        );
        return;
    };
    for [seed, one, other] in [[&old, NEW, &old], [NEW, &old, NEW], [&old, NEW, NEW], [NEW, &old, &old]] {
        let mut network = Network::new();
        for (program, id) in [(seed, "seed"), (one, "one"), (other, "other")] {
            network.add(program, id);
        }
        for program in [old.as_str(), NEW] {
            let ports = network.family(program, 3);
            // Each is called over the seed's network, and by each version.
            for port in &ports {
                assert_eq!(network.ok(program, &["cal", port, "hello", "5"]), "\"hello\",\"5\"\n");
            }
            for node in ["seed", "one", "other"] {
                network.ok(program, &["cal", node, "time"]);
            }
        }
        // Who leaves in order is gone for both.
        let mut last = network.nodes.pop().unwrap();
        last.signal("TERM");
        assert_eq!(last.wait(), Some(0));
        for program in [old.as_str(), NEW] {
            network.family(program, 2);
        }
    }
}
