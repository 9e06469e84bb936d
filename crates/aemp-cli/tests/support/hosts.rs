//! Several hosts on one machine: network namespaces with a cable between all of them, and a host
//! file each. That needs root and `ip`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Ran, Running, User};

/// So long that nobody is warned of it.
const SECRET: &str = "a secret of the tests";

static NETWORKS: AtomicUsize = AtomicUsize::new(0);

/// Hosts that see each other. Host `n` has the addresses `10.77.0.n` and `2001:db8:77::n`, from 1.
pub(crate) struct Network {
    name: String,
    hosts: Vec<Host>,
}

/// One of them.
pub(crate) struct Host {
    namespace: String,
    pub(crate) user: User,
}

impl Network {
    /// Makes a network of `count` hosts. Returns `None` without root or `ip`, and prints which test
    /// is skipped.
    pub(crate) fn new(test: &str, count: usize) -> Option<Network> {
        if output_of("id", "-u").as_deref() != Some("0") || output_of("ip", "-V").is_none() {
            println!("{test}: skipped, it needs root and ip");
            return None;
        }
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let name = format!("a{}-{number}", std::process::id());
        let host = |at| Host { namespace: format!("{name}-{at}"), user: User::new() };
        let hosts = (1..=count).map(host).collect();
        let network = Network { name, hosts };
        if let Err(error) = network.connect() {
            println!("{test}: skipped, no network namespaces here: {error}");
            return None;
        }
        Some(network)
    }

    /// A switch in a namespace of its own, and a cable from there to each host.
    fn connect(&self) -> Result<(), String> {
        let switch = &self.name;
        ip(&["netns", "add", switch])?;
        ip(&["-n", switch, "link", "add", "switch", "type", "bridge"])?;
        ip(&["-n", switch, "link", "set", "switch", "up"])?;
        for (at, host) in (1..).zip(&self.hosts) {
            let (namespace, port) = (&host.namespace, format!("port{at}"));
            ip(&["netns", "add", namespace])?;
            host.names(&["127.0.0.1 localhost", "::1 localhost"]);
            ip(&[
                "-n", switch, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns",
                namespace,
            ])?;
            ip(&["-n", switch, "link", "set", &port, "master", "switch", "up"])?;
            host.ip(&["link", "set", "lo", "up"]);
            host.ip(&["addr", "add", &format!("10.77.0.{at}/24"), "dev", "eth0"]);
            host.ip(&["addr", "add", &format!("2001:db8:77::{at}/64"), "dev", "eth0", "nodad"]);
            host.ip(&["link", "set", "eth0", "up"]);
        }
        Ok(())
    }

    /// Host `n`, from 1.
    pub(crate) fn host(&self, n: usize) -> &Host {
        &self.hosts[n - 1]
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in self.hosts.iter().map(|host| &host.namespace).chain([&self.name]) {
            // One that could not be made is not there.
            let _ = ip(&["netns", "del", namespace]);
            let _ = fs::remove_dir_all(files(namespace));
        }
        let _ = fs::remove_dir("/etc/netns");
    }
}

impl Host {
    /// Adds lines to the host file. Other names are not known, and that is said at once: nobody
    /// serves names.
    pub(crate) fn names(&self, lines: &[&str]) {
        let folder = files(&self.namespace);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("resolv.conf"), "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
            .unwrap();
        let known = fs::read_to_string(folder.join("hosts")).unwrap_or_default();
        fs::write(folder.join("hosts"), known + &lines.join("\n") + "\n").unwrap();
    }

    /// Runs `ip` on the host.
    pub(crate) fn ip(&self, arguments: &[&str]) {
        ip(&[&["-n", &self.namespace], arguments].concat()).unwrap();
    }

    /// What is sent to this address from here vanishes, as behind a firewall that drops it.
    pub(crate) fn blackhole(&self, address: &str) {
        let nobody = "02:00:00:00:de:ad";
        self.ip(&["neigh", "replace", address, "lladdr", nobody, "dev", "eth0", "nud", "permanent"]);
    }

    /// Starts a node that reads no file: its ID, binds, seeds and what else `run` takes.
    pub(crate) fn node(&self, id: &str, binds: &str, seeds: &str, more: &[&str]) -> Running {
        let common = [
            "--color", "never", "run", "norc", "1", "nodeid", id, "secret", SECRET, "binds", binds, "seeds",
            seeds,
        ];
        Running::start(self.command(&[&common[..], &["services", "aemp::echo"], more].concat()))
    }

    /// Runs a command that knows this seed.
    pub(crate) fn run(&self, seed: &str, arguments: &[&str]) -> Ran {
        let (secret, seeds) = (format!("secret={SECRET}"), format!("seeds={seed}"));
        let (command, rest) = arguments.split_first().unwrap();
        let common = [*command, "--set", &secret, "--set", &seeds];
        Ran::of(self.command(&[&common[..], rest].concat()).output().unwrap())
    }

    /// The time that a node gives, asked for through this seed.
    pub(crate) fn time_of(&self, node: &str, seed: &str) -> Result<f64, String> {
        let ran = self.run(seed, &["cal", "--timeout", "20", node, "time"]);
        ran.stdout.trim_end().parse().map_err(|_| ran.stderr)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let aemp = self.user.command(arguments);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(aemp.get_program()).args(aemp.get_args());
        command
            .current_dir(self.user.home())
            .env("HOME", self.user.home())
            .stdin(std::process::Stdio::null());
        command
    }
}

fn files(namespace: &str) -> PathBuf {
    PathBuf::from("/etc/netns").join(namespace)
}

/// What a program prints; `None` if it is not there.
pub(crate) fn output_of(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim_end()))
}
