//! `aemp run`: a node with services, until it is told to end.

use aemp::Node;
use aemp_config::{Arguments, Settings};
use clap::Args;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::descriptors;
use crate::failure::Failure;
use crate::gate::Gate;
use crate::logging::{self, Logging};
use crate::metrics;
use crate::scripts::Scripting;
use crate::services;
use crate::watchdog::child::Leash;
use crate::watchdog::{self, Watching};

/// Run a node until SIGINT or SIGTERM
///
/// When it listens it prints one line on stdout: ready NODEID HOST:PORT[,HOST:PORT…]. Logs go to
/// stderr.
#[derive(Debug, Args)]
#[command(after_help = "\
Keys: nodeid, binds, advertise, seeds, secret, cert, services, secure, behind_nat, relay, monitor_timeout, connect_interval,
framing_format, auth_offer, auth_accept, verify_peeraddr, nodelay, scripts, script_eval, script_limits, ws, ws_clients, metrics;
and about the configuration file:
  profile NAME  the profile to use; by default the one with this host's name
  norc 1        do not read the file
  force 1       let the arguments win over the file (by default the file wins, as with the Perl tool)

Services that are built in: aemp::global, aemp::echo, aemp::sink, and AnyEvent::MP::LogCatcher::catch, which takes a level and writes what
all other nodes log into this node's log: services [[\"AnyEvent::MP::LogCatcher::catch\",\"info\"]].
With scripts FOLDER,… also a::b:: for FOLDER/a/b.rhai, and a::b::f for a function in it, which any node can spawn as well. With
script_eval 1 other nodes can have code evaluated here.
With ws HOST:PORT ws_clients FILE the node is a WebSocket gateway for clients that are not members of the network, such as browsers; FILE says
who they are and what they may do. The line ends with the address of the gateway then: ws HOST:PORT.
With metrics HOST:PORT a monitoring system finds there /metrics (OpenMetrics text), /ready (200 when the node is a part of its network) and
/alive (200 while the loop of the node answers); the line ends with metrics HOST:PORT. Nobody is asked who they are there.

Example: aemp run norc 1 nodeid echo secret hush binds 127.0.0.1:4040 services aemp::echo,aemp::sink")]
pub(crate) struct Run {
    /// [PROFILE] [KEY VALUE]… as Perl's `configure` takes them; JSON where a value starts with [, {
    /// or "
    #[arg(value_name = "PROFILE | KEY VALUE", trailing_var_arg = true)]
    arguments: Vec<String>,
    /// Print `{"ready":NODEID,"listeners":[…]}` instead of the line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    watching: Watching,
}

impl Run {
    pub(crate) async fn run(self, logging: &Logging) -> Result<(), Failure> {
        if self.watching.is_watchdog() {
            return watchdog::guard(&self.watching, self.child(logging)).await;
        }
        descriptors::raise_limit();
        let leash = self.watching.watched().map(Leash::take).transpose()?;
        let mut settings = Settings::load(&Arguments::parse(&self.arguments)?)?;
        descriptors::check_limit(settings.seeds.len());
        let mut scripting = Scripting::of(&settings)?;
        scripting.take_modules(&mut settings);
        let scripted = settings.services.iter().map(|service| service.function.clone());
        let scripted: Vec<String> = scripted.filter(|name| scripting.knows(name)).collect();
        services::check(&mut settings, &scripted.iter().map(String::as_str).collect::<Vec<_>>())?;
        // Before the line that others wait for: from then on a signal ends the node in order.
        let ending = ending()?;
        let gate = Gate::of(&settings)?;
        let observed = settings.metrics.clone();
        let builder = services::register(settings.builder().logs(logging::source()));
        let mut builder = scripting.install(builder);
        if let Some(leash) = &leash {
            builder = leash.register(builder);
        }
        let node = builder.start().await?;
        scripting.load(&node)?;
        let ws = gate.open(&node).await?;
        let metrics = metrics::open(observed.as_deref(), &node).await?;
        announce(&node, &[("ws", ws), ("metrics", metrics)], self.json)?;
        match &leash {
            None => ending.await,
            Some(leash) => {
                leash.beat(&node);
                tokio::select! {
                    () = ending => {}
                    () = leash.end() => {}
                }
            }
        }
        tracing::info!(node = %node.id(), "ending");
        node.shutdown().await;
        Ok(())
    }

    /// The command line of the process that a watchdog watches.
    fn child(&self, logging: &Logging) -> Vec<String> {
        let color = match anstream::ColorChoice::global() {
            anstream::ColorChoice::Auto => "auto",
            anstream::ColorChoice::AlwaysAnsi | anstream::ColorChoice::Always => "always",
            anstream::ColorChoice::Never => "never",
        };
        let mut arguments = logging.arguments();
        arguments.push(format!("--color={color}"));
        arguments.push("run".into());
        arguments.push(format!("--watched={}", self.watching.heartbeat().as_secs_f64()));
        if self.json {
            arguments.push("--json".into());
        }
        arguments.extend_from_slice(&self.arguments);
        arguments
    }
}

/// Says that the node listens, and where; and what else does, by name.
pub(crate) fn announce(node: &Node, others: &[(&str, Option<String>)], as_json: bool) -> Result<(), Failure> {
    let addresses: Vec<String> = node.local_addrs().iter().map(ToString::to_string).collect();
    let others = others.iter().filter_map(|(name, address)| Some((*name, address.as_ref()?)));
    if as_json {
        let mut line = json!({"ready": node.id().as_str(), "listeners": addresses});
        for (name, address) in others {
            line[name] = address.as_str().into();
        }
        return crate::print(&line.to_string());
    }
    let mut line = format!("ready {} {}", node.id(), addresses.join(","));
    for (name, address) in others {
        line += &format!(" {name} {address}");
    }
    crate::print(line.trim_end())
}

/// Catches a signal from now on.
pub(crate) fn catch(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::failed(format!("signals cannot be caught: {error}")))
}

/// Waits for SIGINT or SIGTERM, which are caught from the call on.
pub(crate) fn ending() -> Result<impl Future<Output = ()>, Failure> {
    let mut interrupt = catch(SignalKind::interrupt())?;
    let mut terminate = catch(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
