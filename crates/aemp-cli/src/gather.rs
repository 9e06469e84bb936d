//! `aemp gather`: what a report of a fault needs, in one file.

use std::io::Write as _;
use std::path::PathBuf;

use aemp::Node;
use aemp_config::{Arguments, ConfigFile, Host, KEYS, Places, Shape, effective};
use clap::Args;
use serde_json::{Map, Value as Json, json};

use crate::client::Access;
use crate::dump::create;
use crate::failure::Failure;
use crate::inspect::connected;
use crate::inspect::known::Known;

/// Gather what a report of a fault needs, in one file
///
/// JSON: versions, the settings without secrets, the nodes of the network, and of each that tells
/// it the snapshot of what it counts, which messages it could not deliver, and what its flight
/// recorder has. Never a secret, nor anything of a message, not even its tag. Host names, node IDs
/// and addresses are in it: look it through before you send it.
#[derive(Debug, Args)]
pub(crate) struct Gather {
    /// Where to write it; must not be there
    file: PathBuf,
    #[command(flatten)]
    access: Access,
}

impl Gather {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let network = connected(&self.access, async |node: &Node| {
            let known = Known::of(node, self.access.limit.timeout).await;
            let mut nodes = Map::new();
            for (name, addresses) in &known.nodes {
                nodes.insert(name.clone(), self.of_node(node, name, addresses).await);
            }
            Ok(Json::Object(nodes))
        })
        .await;
        let network = network.unwrap_or_else(|failure| json!({"failure": failure.message()}));
        let gathered = json!({
            "aemp": env!("CARGO_PKG_VERSION"),
            "system": [std::env::consts::OS, std::env::consts::ARCH],
            "settings": settings(),
            "network": network,
        });
        let text = serde_json::to_string_pretty(&gathered).map_err(Failure::failed)?;
        let written = create(&self.file).and_then(|mut file| writeln!(file, "{text}"));
        let file = self.file.display();
        written.map_err(|error| Failure::failed(format!("{file} cannot be written: {error}")))?;
        crate::print(&format!("gathered in {file}; it holds no secret, but names of hosts and nodes"))
    }

    async fn of_node(&self, node: &Node, name: &str, addresses: &[String]) -> Json {
        let Ok(id) = aemp::NodeId::new(name) else { return Json::Null };
        let stats = match node.stats_of(&id, self.access.limit.timeout).await {
            Ok(stats) => json!(stats),
            Err(error) => json!({"failure": error.to_string()}),
        };
        let lost = node.lost_messages_of(&id, self.access.limit.timeout).await.unwrap_or_default();
        let lost = lost.iter().map(|lost| json!([lost.time, lost.port, lost.reason])).collect::<Vec<_>>();
        let recorder = node.dump_of(&id, self.access.limit.timeout).await.unwrap_or_default();
        json!({"listens": addresses, "stats": stats, "lost": lost, "recorder": recorder.records})
    }
}

/// The settings that hold for this machine, without what is secret.
fn settings() -> Json {
    let host = Host::current();
    let file = match ConfigFile::open(&Places::from_env()) {
        Ok(file) => file,
        Err(error) => return json!({"failure": error.to_string()}),
    };
    match effective(Some(&file), &Arguments::default(), &host) {
        Ok(found) => {
            let known = |key: &str| KEYS.iter().find(|known| known.name == key);
            // What is not known here may be a secret of somebody else's.
            let shown = found.settings.into_iter().filter(|(key, _)| {
                known(key).is_some_and(|key| key.shape != Shape::Secret && key.name != "eval")
            });
            Json::Object(shown.filter(|(key, _)| key != "services").collect())
        }
        Err(error) => json!({"failure": error.to_string()}),
    }
}
