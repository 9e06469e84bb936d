//! `aemp db`: show a family of the shared database.

use aemp::DatabaseError;
use clap::Args;
use serde_json::json;
use tokio::time::timeout;

use crate::client::{self, Client, Limit};
use crate::failure::Failure;
use crate::values::{self, escaped};

/// Show a family of the shared database
///
/// One line for each subkey, and after a blank its value as JSON, unless that is null. The subkeys
/// of a family of ports, such as `aemp::echo`, are the IDs of the ports.
#[derive(Debug, Args)]
pub(crate) struct Db {
    /// The family; `'l` has where the nodes of the network listen
    family: String,
    /// Print `{"key":…,"value":…}` for each subkey
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    client: Client,
}

impl Db {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let node = self.client.start().await?;
        let content = timeout(self.limit.timeout, node.db().family(&self.family)).await;
        let no_seed = self.limit.no_seed(&node);
        client::end(&node, content.is_ok()).await;
        let content = content
            .map_err(|_| Failure::failed(no_seed))?
            .map_err(|error: DatabaseError| Failure::failed(error))?;
        for (key, value) in content {
            crate::print(&match value {
                value if self.json => {
                    values::json_text(&json!({"key": key, "value": values::to_json(&value)}))
                }
                aemp::Value::Null => escaped(&key),
                value => format!("{} {}", escaped(&key), values::to_line(&[value])),
            })?;
        }
        Ok(())
    }
}
