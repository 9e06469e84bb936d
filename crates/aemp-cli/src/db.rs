//! `aemp db`: show a family of the shared database, or what changes in it.

use std::collections::BTreeMap;

use aemp::{DatabaseError, Node, Value};
use clap::Args;
use serde_json::json;
use tokio::time::timeout;

use crate::client::{self, Access};
use crate::failure::Failure;
use crate::inspect::known::Known;
use crate::run;
use crate::values::{self, escaped};

/// Show a family of the shared database
///
/// One line for each subkey, and after a blank its value as JSON, unless that is null. The subkeys
/// of a family of ports, such as `aemp::echo`, are the IDs of the ports. Exit status 1 if there is
/// no such family.
///
/// With --watch the family is followed until the command is interrupted: + stands before a subkey
/// that is new, ~ before one that has another value, - before one that is gone.
#[derive(Debug, Args)]
pub(crate) struct Db {
    /// The family; `'l` has where the nodes of the network listen
    family: String,
    /// Follow what changes
    #[arg(short, long)]
    watch: bool,
    /// Print `{"key":…,"value":…}` for each subkey, and with --watch `"change"` as well
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: Access,
}

impl Db {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        if self.watch {
            return self.follow().await;
        }
        let node = self.access.client.start().await?;
        let content = timeout(self.access.limit.timeout, node.db().family(&self.family)).await;
        let no_seed = self.access.limit.no_seed(&node);
        let missing = match &content {
            Ok(Ok(content)) if content.is_empty() => self.missing(&node).await,
            _ => None,
        };
        client::end(&node, content.is_ok()).await;
        let content = content
            .map_err(|_| Failure::failed(no_seed))?
            .map_err(|error: DatabaseError| Failure::failed(error))?;
        content.iter().try_for_each(|(key, value)| self.print(None, key, Some(value)))?;
        missing.map_or(Ok(()), Err)
    }

    /// What to say of a family without entries: that it is not there, unless it is one of the
    /// network's own.
    async fn missing(&self, node: &Node) -> Option<Failure> {
        if self.family.starts_with('\'') {
            return None;
        }
        let like = Known::of(node, self.access.limit.timeout).await.families_like(&self.family);
        Some(Failure::failed(format!("{}: there is no such family{like}", escaped(&self.family))))
    }

    /// Prints what is there, and then each change, until it is interrupted.
    async fn follow(self) -> Result<(), Failure> {
        let mut ending = std::pin::pin!(run::ending()?);
        let node = self.access.client.start().await?;
        let mut watch = node.db().watch(&self.family);
        let outcome = async {
            loop {
                let change = tokio::select! {
                    change = watch.next() => change,
                    () = &mut ending => return Err(Failure::interrupted()),
                };
                let Some(change) = change else {
                    return Err(Failure::failed(
                        "the watch has ended: more has changed than could be printed",
                    ));
                };
                let content: &BTreeMap<String, Value> = &change.content;
                for (mark, keys) in [('+', &change.added), ('~', &change.changed), ('-', &change.deleted)] {
                    keys.iter().try_for_each(|key| self.print(Some(mark), key, content.get(key)))?;
                }
            }
        }
        .await;
        client::end(&node, false).await;
        outcome
    }

    fn print(&self, mark: Option<char>, key: &str, value: Option<&Value>) -> Result<(), Failure> {
        if self.json {
            let mut line = json!({"key": key, "value": value.map(values::to_json)});
            if let Some(mark) = mark {
                line["change"] = mark.to_string().into();
            }
            return crate::print(&values::json_text(&line));
        }
        let mark = mark.map(|mark| format!("{mark} ")).unwrap_or_default();
        crate::print(&match value {
            None | Some(Value::Null) => format!("{mark}{}", escaped(key)),
            Some(value) => format!("{mark}{} {}", escaped(key), values::to_line(std::slice::from_ref(value))),
        })
    }
}
