//! The short-lived node of the commands that talk to a network.

use std::time::Duration;

use aemp::{AnyMessage, Node, NodeEvents, PortId, ShutdownReport};
use aemp_config::{Arguments, ConfigFile, Places, Settings, parse_argument, value_from_json};
use clap::Args;
use serde_json::{Value as Json, json};

use crate::failure::Failure;
use crate::logging;

/// How such a command gets into the network.
#[derive(Debug, Args)]
pub(crate) struct Client {
    /// The profile to use, which names seeds and secret; by default that of `aemp use`, else the
    /// one called aemp, if there is one
    #[arg(long, env = "AEMP_PROFILE", hide_env_values = true)]
    profile: Option<String>,
    /// A setting that wins over the configuration file, e.g. `--set seeds=127.0.0.1:4040`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

/// How a command gets into the network, and how long it waits there.
#[derive(Debug, Args)]
pub(crate) struct Access {
    #[command(flatten)]
    pub(crate) limit: Limit,
    #[command(flatten)]
    pub(crate) client: Client,
}

/// How long to wait.
#[derive(Debug, Args)]
pub(crate) struct Limit {
    /// Seconds to wait before giving up
    #[arg(long = "timeout", value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

impl Limit {
    /// What to say when a node without connections has waited in vain.
    pub(crate) fn no_seed(&self, node: &Node) -> String {
        let why = unreached(node).map(|why| format!(": {why}")).unwrap_or_default();
        format!("no seed has answered within {:?}{why}", self.timeout)
    }
}

/// Whether a node has ever been connected, for what is said when nothing came of a request.
pub(crate) struct Seeds<'a> {
    node: &'a Node,
    events: NodeEvents,
    connected: bool,
}

impl<'a> Seeds<'a> {
    /// Follows the connections of a node that has just been started.
    pub(crate) fn of(node: &'a Node) -> Seeds<'a> {
        let events = node.node_events();
        Seeds { node, events, connected: !node.connected_nodes().is_empty() }
    }

    /// A failure that says why no seed was reached, if that is why nothing came of a request. To be
    /// asked before the node is shut down.
    pub(crate) fn failure(mut self) -> Option<Failure> {
        if self.connected || self.events.try_next().is_some() {
            return None;
        }
        unreached(self.node).map(|why| Failure::failed(format!("no seed was reached: {why}")))
    }
}

/// Why a node without connections has none.
fn unreached(node: &Node) -> Option<String> {
    let seeds = node.unreached_seeds();
    if !node.connected_nodes().is_empty() || seeds.is_empty() {
        return None;
    }
    let why = seeds.into_iter().map(|(seed, why)| match why.starts_with(&seed) {
        true => why,
        false => format!("{seed} ({why})"),
    });
    Some(why.collect::<Vec<_>>().join("; "))
}

/// Reads a number of seconds. Beyond a day it is a mistake, and times would have no end to be
/// reckoned to.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if duration > Duration::from_secs(86_400) { Err("more than a day".into()) } else { Ok(duration) }
}

impl Client {
    /// Starts the node of a command that asks something and ends: it listens nowhere, and no peer
    /// takes notice of it.
    pub(crate) async fn start(&self) -> Result<Node, Failure> {
        let settings = self.settings(json!([]))?;
        Ok(settings.builder().logs(logging::source()).client(true).start().await?)
    }

    /// Starts such a node, has it ask something, and ends it. If nothing came of that because no
    /// seed was reached, the failure says so.
    pub(crate) async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&Node) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let node = self.start().await?;
        let seeds = Seeds::of(&node);
        let outcome = question(&node).await;
        let no_seed = seeds.failure();
        end(&node, outcome.is_ok()).await;
        outcome.map_err(|failure| no_seed.unwrap_or(failure))
    }

    /// As [`Client::start`] for a command that stays and whose port others are told of: they reach
    /// it over the nodes that it is connected to.
    pub(crate) async fn stay(&self) -> Result<Node, Failure> {
        let settings = self.settings(json!([]))?;
        Ok(settings.builder().logs(logging::source()).start().await?)
    }

    /// Starts the node of a command that stays, and whose ports others may want to reach.
    pub(crate) async fn join(&self) -> Result<Node, Failure> {
        let settings = self.settings(json!(["*"]))?;
        Ok(settings.builder().logs(logging::source()).start().await?)
    }

    /// The settings of the node. Its ID, its services and where it listens are its own, not those
    /// of a node that the file describes: it may be one of many on this machine.
    fn settings(&self, binds: Json) -> Result<Settings, Failure> {
        let file = ConfigFile::open(&Places::from_env())?;
        let mut arguments = match self.profile.as_deref().or(file.used_profile()) {
            Some(name) => Arguments::parse(["profile", name])?,
            None => Arguments::for_profile("aemp"),
        }
        .forced();
        for (key, value) in [
            ("nodeid", json!("aemp/%n/%u")),
            ("services", json!([])),
            ("binds", binds),
            ("advertise", json!([])),
        ] {
            arguments.set(key, &value)?;
        }
        for setting in &self.settings {
            let (key, text) = setting
                .split_once('=')
                .ok_or_else(|| Failure::usage(format!("--set {setting}: expected KEY=VALUE")))?;
            arguments.read(key, text)?;
        }
        Ok(Settings::load(&arguments)?)
    }
}

/// How long a command that has failed takes to end: what it has waited for in vain is not waited
/// for once more.
const GIVEN_UP: Duration = Duration::from_millis(250);

/// Ends the node of a command. One that has succeeded delivers what it has sent.
pub(crate) async fn end(node: &Node, succeeded: bool) -> ShutdownReport {
    if succeeded { node.shutdown().await } else { node.shutdown_within(GIVEN_UP).await }
}

/// Reads the destination of a message: a port ID, or a node ID for its node port.
pub(crate) fn port(text: &str) -> Result<PortId, Failure> {
    PortId::parse(text).map_err(|error| Failure::usage(format!("{text}: {error}")))
}

/// Reads the values of a message.
pub(crate) fn message(arguments: &[String]) -> Result<AnyMessage, Failure> {
    let value = |text: &String| Ok(value_from_json(&parse_argument(text)?));
    arguments.iter().map(value).collect()
}
