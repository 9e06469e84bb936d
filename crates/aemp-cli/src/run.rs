//! `aemp run`: a node with services, until it is told to end.

use std::path::PathBuf;
use std::time::Duration;

use aemp::{Node, ReplyTo, Unfinished};
use clap::Args;
use serde::Serialize;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::client::seconds;
use crate::descriptors;
use crate::dump::Dumps;
use crate::failure::Failure;
use crate::gate::Gate;
use crate::logging::{self, Logging};
use crate::metrics;
use crate::notify::Manager;
use crate::order::{Order, Orders, Outcome, Reloaded};
use crate::reload::apply::Reloader;
use crate::reload::describe;
use crate::scripts::Scripting;
use crate::services;
use crate::watchdog::child::Leash;
use crate::watchdog::{self, Watching};

/// Run a node until SIGINT or SIGTERM
///
/// SIGHUP has it read its settings again, as `aemp reload` does. SIGUSR1 has it write what its
/// flight recorder has to a file, which the log names; so does a panic.
///
/// When it listens it prints one line on stdout: ready NODEID HOST:PORT[,HOST:PORT…]. Logs go to
/// stderr.
#[derive(Debug, Args)]
#[command(after_help = "\
Keys: nodeid, binds, advertise, seeds, secret, cert, services, secure, behind_nat, relay, monitor_timeout, connect_interval,
framing_format, auth_offer, auth_accept, verify_peeraddr, nodelay, scripts, script_eval, script_limits, ws, ws_clients, metrics, recorder,
log_filter;
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
    /// On SIGTERM leave as `aemp drain` does, and take this time for it at most; 0: deliver
    /// what was sent, and end
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    drain: Duration,
    /// Where to write what the flight recorder has, on SIGUSR1 or when something panics; by default
    /// the folder for temporary files
    #[arg(long, value_name = "FOLDER")]
    dumps: Option<PathBuf>,
    #[command(flatten)]
    watching: Watching,
}

impl Run {
    pub(crate) async fn run(self, logging: &Logging) -> Result<(), Failure> {
        if self.watching.is_watchdog() {
            return watchdog::guard(&self.watching, self.drain, self.child(logging)).await;
        }
        descriptors::raise_limit();
        let leash = self.watching.watched().map(Leash::take).transpose()?;
        // Before the line that others wait for: from then on a signal does what it is to do.
        let signals = Signals::catch()?;
        let mut reloader = Reloader::start(&self.arguments, logging)?;
        let mut settings = reloader.settings().clone();
        descriptors::check_limit(settings.seeds.len());
        let mut scripting = Scripting::of(&settings)?;
        scripting.take_modules(&mut settings);
        let scripted = settings.services.iter().map(|service| service.function.clone());
        let scripted: Vec<String> = scripted.filter(|name| scripting.knows(name)).collect();
        services::check(&mut settings, &scripted.iter().map(String::as_str).collect::<Vec<_>>())?;
        let manager = Manager::from_env();
        let gate = Gate::of(&settings)?;
        let observed = settings.metrics.clone();
        let builder = services::register(settings.builder().logs(logging::source()));
        let (mut builder, orders) = Orders::register(scripting.install(builder));
        if let Some(leash) = &leash {
            builder = leash.register(builder);
        }
        let node = builder.start().await?;
        let dumps = Dumps::into(self.dumps);
        dumps.watch_panics(&node);
        scripting.load(&node)?;
        let ws = gate.open(&node).await?;
        let metrics = metrics::open(observed.as_deref(), &node).await?;
        announce(&node, &[("ws", ws), ("metrics", metrics)], self.json)?;
        manager.follow(&node);
        reloader.follow_seeds(&node);
        if let Some(leash) = &leash {
            leash.beat(&node);
        }
        let mut running =
            Running { node, manager, signals, orders, reloader, dumps, drain: self.drain, leash };
        running.live().await;
        tracing::info!(node = %running.node.id(), "ending");
        running.manager.stopping("ending");
        running.manager.ended(&running.node.shutdown().await);
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
        arguments.push(format!("--drain={}", self.drain.as_secs_f64()));
        if let Some(folder) = &self.dumps {
            arguments.push(format!("--dumps={}", folder.display()));
        }
        arguments.extend_from_slice(&self.arguments);
        arguments
    }
}

/// The signals that mean something to a node.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    dump: Signal,
}

impl Signals {
    fn catch() -> Result<Signals, Failure> {
        Ok(Signals {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hangup: catch(SignalKind::hangup())?,
            dump: catch(SignalKind::user_defined1())?,
        })
    }
}

/// A node that runs, and those who can tell it something.
struct Running {
    node: Node,
    manager: Manager,
    signals: Signals,
    orders: Orders,
    reloader: Reloader,
    dumps: Dumps,
    drain: Duration,
    leash: Option<Leash>,
}

impl Running {
    /// Does what the node is told, until it is to end.
    async fn live(&mut self) {
        loop {
            let released = async {
                match &self.leash {
                    Some(leash) => leash.end().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.signals.interrupt.recv() => return,
                _ = self.signals.terminate.recv() => {
                    if !self.drain.is_zero() {
                        self.finish_work(self.drain).await;
                    }
                    return;
                }
                _ = self.signals.hangup.recv() => self.reload(None),
                _ = self.signals.dump.recv() => self.dumps.asked(&self.node),
                () = released => return,
                order = self.orders.next() => match order {
                    Some(Order::Reload(reply)) => self.reload(Some(reply)),
                    Some(Order::Drain(limit, reply)) => {
                        let unfinished = self.finish_work(limit).await;
                        let unfinished = if unfinished.is_empty() { String::new() } else { unfinished.to_string() };
                        answer(&self.node, reply, Ok(unfinished));
                        return;
                    }
                    // The node has the other end as long as it lives.
                    None => return,
                },
            }
        }
    }

    fn reload(&mut self, reply: Option<ReplyTo<Outcome<Reloaded>>>) {
        self.manager.reloading();
        let outcome = self.reloader.reload(&self.node);
        let outcome = outcome.map_err(|failure| failure.message().to_owned());
        self.manager.reloaded(&match &outcome {
            Ok(reloaded) => describe(reloaded),
            Err(error) => format!("the settings were not read again: {error}"),
        });
        if let Some(reply) = reply {
            answer(&self.node, reply, outcome);
        }
    }

    /// Finishes the work of the node. Another signal cuts it short.
    async fn finish_work(&mut self, limit: Duration) -> Unfinished {
        self.manager.stopping("finishing its work");
        tokio::select! {
            unfinished = self.node.finish_work(limit) => unfinished,
            _ = self.signals.interrupt.recv() => Unfinished::default(),
            _ = self.signals.terminate.recv() => Unfinished::default(),
        }
    }
}

fn answer<T: Serialize + Send + 'static>(node: &Node, reply: ReplyTo<Outcome<T>>, outcome: Outcome<T>) {
    if let Err(error) = node.reply(reply, outcome) {
        tracing::debug!(%error, "the outcome was not told");
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
