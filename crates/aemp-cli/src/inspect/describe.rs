//! `aemp describe`: a node, a port or a family.

use std::fmt::Write as _;

use aemp::stats::AskError;
use aemp::{Node, NodeId, PortId};
use clap::Args;

use super::known::Known;
use super::{connected, node_id, stats, unanswered};
use crate::client::{self, Access};
use crate::failure::Failure;
use crate::values::{escaped, to_line};

/// Ports of a node that are looked through for one.
const PORTS_MAX: usize = 10_000;

/// Entries of a family that are shown.
const ENTRIES_SHOWN: usize = 20;

/// Tell what is known of a node, a port or a family
///
/// NODE#PORT is a port; of what is both a node and a family the node is told.
#[derive(Debug, Args)]
pub(crate) struct Describe {
    /// NODE, NODE#PORT or a family of the shared database
    name: String,
    #[command(flatten)]
    access: Access,
}

impl Describe {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let text = connected(&self.access, async |node: &Node| self.text(node).await).await?;
        crate::print(text.trim_end())
    }

    async fn text(&self, node: &Node) -> Result<String, Failure> {
        if self.name.contains('#') {
            return self.port(node, &client::port(&self.name)?).await;
        }
        let known = Known::of(node, self.access.limit.timeout).await;
        if let Some(addresses) = known.nodes.get(&self.name) {
            return self.node(node, &node_id(&self.name)?, addresses).await;
        }
        let family = tokio::time::timeout(self.access.limit.timeout, node.db().family(&self.name)).await;
        match family {
            Ok(Ok(content)) if !content.is_empty() => {
                let mut text = format!("family {}\nentries {}\n", escaped(&self.name), content.len());
                for (key, value) in content.iter().take(ENTRIES_SHOWN) {
                    let _ = writeln!(text, "  {} {}", escaped(key), to_line(std::slice::from_ref(value)));
                }
                if content.len() > ENTRIES_SHOWN {
                    let _ = writeln!(text, "  and {} more", content.len() - ENTRIES_SHOWN);
                }
                Ok(text)
            }
            _ => {
                let name = escaped(&self.name);
                let like = known.all_like(&self.name);
                Err(Failure::failed(format!("{name}: there is no such node or family{like}")))
            }
        }
    }

    async fn node(&self, node: &Node, id: &NodeId, addresses: &[String]) -> Result<String, Failure> {
        let listens = match addresses {
            [] => "nowhere".into(),
            addresses => escaped(&addresses.join(" ")),
        };
        match node.stats_of(id, self.access.limit.timeout).await {
            Ok(stats) => Ok(format!("{}\n{:<20} {listens}", stats::text(&stats), "listens")),
            Err(AskError::Unknown) => Ok(format!(
                "{:<20} {id}\n{:<20} a Perl node, or an older one of this kind\n{:<20} {listens}",
                "node", "kind", "listens"
            )),
            Err(error) => Err(unanswered(node, id, error, self.access.limit.timeout).await),
        }
    }

    async fn port(&self, node: &Node, port: &PortId) -> Result<String, Failure> {
        let name = port.to_string();
        let ports = match node.port_stats_of(port.node(), PORTS_MAX, self.access.limit.timeout).await {
            Ok(ports) => ports,
            Err(error) => return Err(unanswered(node, port.node(), error, self.access.limit.timeout).await),
        };
        let Some(found) = ports.iter().find(|found| found.port == name) else {
            let names: Vec<String> = ports.into_iter().map(|port| port.port).collect();
            let like = super::known::proposal(&name, names.iter());
            return Err(Failure::failed(format!("{}: there is no such port{like}", escaped(&name))));
        };
        let mut text = String::new();
        let mut line = |name: &str, value: &str| text += &format!("{name:<20} {value}\n");
        line("port", &escaped(&found.port));
        line("state", &escaped(&found.state));
        line("mailbox", &format!("{} bytes", found.bytes));
        line("monitors", &found.monitors.to_string());
        Ok(text)
    }
}
