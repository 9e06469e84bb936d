//! Other frameworks: they are built in a workspace of their own, and only if they are asked for.
//!
//! What a system needs and is not there (`erl`, `nats-server`) makes it be skipped, and said so.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::catalogue::{Runner, System};

/// Where the packages of the other frameworks lie.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");

/// How long a server may take to listen.
const SERVER: Duration = Duration::from_secs(10);

/// What has been built and started for the other systems; servers end with this value.
pub(super) struct Outside {
    built: PathBuf,
    environment: Vec<(String, String)>,
    servers: Vec<Child>,
    /// What was tried already: nothing, or why it is not there.
    ready: BTreeMap<&'static str, Result<(), String>>,
}

impl Outside {
    /// Nothing yet.
    pub(super) fn new() -> Outside {
        let binary = std::env::current_exe().unwrap_or_default();
        // Beside the folder `release` that this binary lies in.
        let target = binary.parent().and_then(Path::parent).unwrap_or(Path::new("target"));
        Outside {
            built: target.join("bench-peers"),
            environment: Vec::new(),
            servers: Vec::new(),
            ready: BTreeMap::new(),
        }
    }

    /// Makes a system ready, once; gives why it has to be skipped otherwise.
    pub(super) fn prepare(&mut self, system: &System) -> Result<(), String> {
        let key = match system.runner {
            Runner::Own => return Ok(()),
            Runner::Package(package) => package,
            Runner::Erlang => "erlang",
        };
        if let Some(known) = self.ready.get(key) {
            return known.clone();
        }
        eprintln!("\r\x1b[Kpreparing {key}");
        let outcome = match system.runner {
            Runner::Erlang => self.erlang(),
            _ if key == "nats" => self.nats().and_then(|()| self.build(key)),
            _ => self.build(key),
        };
        if let Err(why) = &outcome {
            eprintln!("{key} is skipped: {why}");
        }
        self.ready.insert(key, outcome.clone());
        outcome
    }

    /// The command that runs a workload on a system which is ready.
    pub(super) fn command(&self, system: &System, workload: &str, count: u64) -> Command {
        let count = count.to_string();
        let mut command = match system.runner {
            Runner::Own => Command::new(std::env::current_exe().unwrap_or_default()),
            Runner::Package(package) => {
                Command::new(self.built.join("release").join(format!("peer-{package}")))
            }
            Runner::Erlang => return self.erl(system, workload, &count),
        };
        command.args(["one", system.name, workload, &count]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn build(&self, package: &str) -> Result<(), String> {
        let status = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            .args(["build", "--release", "--quiet", "--locked"])
            .arg("--target-dir")
            .arg(&self.built)
            // The package that lies there alone, of whichever workspace it is a member.
            .current_dir(Path::new(FOLDER).join(package))
            .status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err("it does not build".into()),
            Err(error) => Err(format!("cargo does not start: {error}")),
        }
    }

    /// A server on a port of its own.
    fn nats(&mut self) -> Result<(), String> {
        let port = free_port()?;
        let settings = self.built.join("nats.conf");
        let text =
            format!("listen: \"127.0.0.1:{port}\"\nmax_pending: 4294967296\nwrite_deadline: \"30s\"\n");
        fs::create_dir_all(&self.built)
            .and_then(|()| fs::write(&settings, text))
            .map_err(|e| e.to_string())?;
        let mut command = Command::new("nats-server");
        command.arg("-c").arg(&settings);
        self.serve(command, port)?;
        self.environment.push(("NATS_URL".into(), format!("nats://127.0.0.1:{port}")));
        Ok(())
    }

    /// Compiles the workloads, and starts epmd on a port of its own.
    fn erlang(&mut self) -> Result<(), String> {
        let folder = self.built.join("erlang");
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let source = format!("{FOLDER}/erlang/bench.erl");
        let compiled = Command::new("erlc").arg("-o").arg(&folder).arg(source).status();
        match compiled {
            Ok(status) if status.success() => {}
            Ok(_) => return Err("its workloads do not compile".into()),
            Err(error) => return Err(format!("erlc does not start: {error}")),
        }
        let port = free_port()?;
        self.environment.push(("ERL_EPMD_PORT".into(), port.to_string()));
        self.environment.push(("ERL_EPMD_ADDRESS".into(), "127.0.0.1".into()));
        let mut command = Command::new("epmd");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.serve(command, port)
    }

    fn erl(&self, system: &System, workload: &str, count: &str) -> Command {
        let mut command = Command::new("erl");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.env("SYSTEM", system.name).args(["-noshell", "-setcookie", "bench", "+P", "2000000"]);
        command.args(["-name", &format!("bench{}@127.0.0.1", std::process::id())]);
        command.args(["-kernel", "inet_dist_use_interface", "{127,0,0,1}", "-pa"]);
        command.arg(self.built.join("erlang")).args(["-run", "bench", "main", workload, count]);
        command
    }

    fn serve(&mut self, mut command: Command, port: u16) -> Result<(), String> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.servers.push(child.map_err(|error| format!("{name} does not start: {error}"))?);
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if began.elapsed() > SERVER {
                return Err(format!("{name} does not listen"));
            }
            // sleep: a server does not say when it listens
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        for server in &mut self.servers {
            // It may have ended by itself.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|error| format!("loopback has no free port: {error}"))
}
