//! The shared database: family → subkey → value, seen by the whole network.
//!
//! Every node owns the entries that it has set; they go when it goes. Where two nodes set the same
//! subkey, one value shows, and a remaining owner's shows again when the other's is gone.

mod told;

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

use aemp_proto::budget::{Budget, Charge};
use aemp_proto::kernel::{
    DbCommand, EntryError, QueryKind, check_entry, check_family_name, check_own_family,
};
use aemp_proto::{Addr, PortId, Value};
use futures_core::Stream;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::node::Node;
use crate::runtime::Event;
use aemp_ports::Host as _;
use aemp_ports::exit::adopt;
use aemp_ports::extra::Child;
use told::WATCH_MAX;
pub(crate) use told::{Told, WatchSender};

/// Why the database did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The node was shut down.
    #[error("the node has been shut down")]
    Shutdown,
    /// The answer fits into no message. A watch tells the family in parts.
    #[error("the family is too large for one message: watch it, or ask for its subkeys only")]
    TooLarge,
    /// The family or the entry is one that cannot be.
    #[error(transparent)]
    Entry(#[from] EntryError),
}

/// A change of a watched family. The three lists are disjoint, and all empty only in the first
/// event of a watch.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// Subkeys that were absent before.
    pub added: Vec<String>,
    /// Subkeys that have another value now.
    pub changed: Vec<String>,
    /// Subkeys that are gone.
    pub deleted: Vec<String>,
    /// The family as it is after the change. A change that is kept while more of them come costs a
    /// copy of the family each time.
    pub content: Arc<BTreeMap<String, Value>>,
}

/// The shared database, as [`Node::db`] gives it.
#[derive(Clone, Debug)]
pub struct Database {
    node: Node,
}

impl Database {
    pub(crate) fn new(node: Node) -> Database {
        Database { node }
    }

    /// Sets an entry of this node. The entry is deleted when the guard is dropped, unless it was
    /// set again since: then it belongs to the later guard. [`DbGuard::detach`] keeps it until the
    /// node ends.
    ///
    /// Any text of 1 to 1024 bytes that does not begin with `'` names a family. An entry beyond the
    /// first million of a node is not set; that is logged.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::Entry`]: the family has no such name, or key and value have more than 1
    /// MiB. [`DatabaseError::Shutdown`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use aemp::{DatabaseError, Node};
    /// fn example(node: &Node) -> Result<(), DatabaseError> {
    ///     let own = node.id().as_str();
    ///     let _guard = node.db().set("example::load", own, 0.7)?; // as long as this lives
    ///     node.db().set("example::version", own, "1.2")?.detach(); // as long as the node
    ///     Ok(())
    /// }
    /// ```
    pub fn set(&self, family: &str, key: &str, value: impl Into<Value>) -> Result<DbGuard, DatabaseError> {
        let (family, key, value) = (family.to_owned(), key.to_owned(), value.into());
        check_entry(&family, &key, &value, &self.node.inner().shared.kernel)?;
        self.check_alive()?;
        let id = self.node.next_id();
        self.command(DbCommand::Set { family: family.clone(), key: key.clone(), value, id });
        Ok(DbGuard(Registration { node: self.node.clone(), entry: Some(Entry { family, key, id }) }))
    }

    /// Deletes an entry of this node, no matter who has set it here. One of another node stays.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::Entry`]: the family cannot have entries of programs.
    pub fn delete(&self, family: &str, key: &str) -> Result<(), DatabaseError> {
        check_own_family(family)?;
        self.check_alive()?;
        self.command(DbCommand::Delete { family: family.into(), key: key.into() });
        Ok(())
    }

    /// Registers a port of this node: its ID becomes a subkey of the family, and leaves with the
    /// port, unless the subkey was set again since.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::Entry`]: the family cannot have entries of programs.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aemp::{Context, DatabaseError, Node};
    /// fn example(node: &Node) -> Result<(), DatabaseError> {
    ///     let port = node.port(|_: &mut Context<'_>, (job,): (String,)| println!("{job}"));
    ///     node.db().register("example::workers", &port)
    /// }
    /// ```
    #[doc(alias = "grp_reg")]
    #[doc(alias = "pg")]
    pub fn register(&self, family: &str, port: &PortId) -> Result<(), DatabaseError> {
        let DbGuard(registration) = self.set(family, &port.to_string(), Value::Null)?;
        match self.node.local_number(port) {
            Some(number) => adopt(&self.node, number, Child::Guard(Box::new(registration))),
            None => drop(registration),
        }
        Ok(())
    }

    /// The content of a family.
    ///
    /// # Errors
    ///
    /// The node was shut down, or the family is too large for one message.
    pub async fn family(&self, family: &str) -> Result<BTreeMap<String, Value>, DatabaseError> {
        let Value::Map(entries) = self.query(QueryKind::Family, family).await? else {
            return Ok(BTreeMap::new());
        };
        Ok(entries.into_iter().filter_map(|(key, value)| Some((key.to_name()?, value))).collect())
    }

    /// The subkeys of a family.
    ///
    /// # Errors
    ///
    /// The node was shut down, or the list is too large for one message.
    pub async fn keys(&self, family: &str) -> Result<Vec<String>, DatabaseError> {
        let Value::List(keys) = self.query(QueryKind::Keys, family).await? else { return Ok(Vec::new()) };
        Ok(keys.iter().filter_map(Value::to_name).collect())
    }

    /// The values of a family.
    ///
    /// # Errors
    ///
    /// The node was shut down, or the list is too large for one message.
    pub async fn values(&self, family: &str) -> Result<Vec<Value>, DatabaseError> {
        let Value::List(values) = self.query(QueryKind::Values, family).await? else { return Ok(Vec::new()) };
        Ok(values)
    }

    /// Watches a family: its current content comes first, even when it is empty, and then every
    /// change. Of a family that fits into no message the first part comes first, and the others
    /// follow as changes.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn example(node: aemp::Node) {
    /// let mut watch = node.db().watch("example::workers");
    /// while let Some(change) = watch.next().await {
    ///     println!("{:?} came, {:?} went", change.added, change.deleted);
    /// }
    /// # }
    /// ```
    #[doc(alias = "db_mon")]
    pub fn watch(&self, family: &str) -> DbWatch {
        let id = self.node.next_id();
        let (sender, changes) = mpsc::unbounded_channel();
        let sender = WatchSender { sender, waiting: Budget::new(WATCH_MAX) };
        self.node.event(Event::Watch { id, family: family.into(), sender });
        DbWatch { node: self.node.clone(), id, changes, content: Arc::default() }
    }

    /// Waits until a port is registered in the family, and gives one of them; another one each
    /// time, if there are several.
    ///
    /// # Errors
    ///
    /// The node was shut down, or no family can have this name.
    #[doc(alias = "whereis")]
    #[doc(alias = "pg")]
    pub async fn any(&self, family: &str) -> Result<PortId, DatabaseError> {
        check_family_name(family)?;
        let mut watch = self.watch(family);
        loop {
            let change = watch.next().await.ok_or(DatabaseError::Shutdown)?;
            let ports: Vec<PortId> = change.content.keys().filter_map(|key| key.parse().ok()).collect();
            if !ports.is_empty() {
                let turn = self.node.next_id() as usize % ports.len();
                return Ok(ports[turn].clone());
            }
        }
    }

    /// As [`Database::any`], and assumes that the ports of this family take messages of type `M`,
    /// which nobody checks.
    ///
    /// # Errors
    ///
    /// As [`Database::any`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use aemp::{Message, Node};
    /// # #[derive(serde::Serialize, serde::Deserialize, Message)]
    /// # enum Work { Add(i64) }
    /// # async fn example(node: Node) -> Result<(), Box<dyn std::error::Error>> {
    /// let worker = node.db().any_of::<Work>("workers").await?;
    /// node.send(&worker, Work::Add(1))?; // and nothing but `Work`
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "whereis")]
    #[doc(alias = "pg")]
    pub async fn any_of<M>(&self, family: &str) -> Result<Addr<M>, DatabaseError> {
        Ok(self.any(family).await?.assume())
    }

    /// A node that was shut down sets and deletes nothing.
    fn check_alive(&self) -> Result<(), DatabaseError> {
        if self.node.is_over() { Err(DatabaseError::Shutdown) } else { Ok(()) }
    }

    fn command(&self, command: DbCommand) {
        self.node.event(Event::Db(command));
    }

    async fn query(&self, kind: QueryKind, family: &str) -> Result<Value, DatabaseError> {
        let (sender, answer) = oneshot::channel();
        let id = self.node.next_id();
        self.node.event(Event::Query { id, kind, family: family.into(), answer: sender });
        let mut asked = Asked { node: &self.node, id: Some(id) };
        let answer = answer.await;
        asked.id = None;
        match answer {
            Ok(Value::Null) => Err(DatabaseError::TooLarge),
            Ok(result) => Ok(result),
            Err(_) => Err(DatabaseError::Shutdown),
        }
    }
}

/// A query that is forgotten when this is dropped before the answer is there: without a master it
/// would be kept for ever.
struct Asked<'a> {
    node: &'a Node,
    id: Option<u64>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.node.event(Event::Unquery(id));
        }
    }
}

/// An entry that goes when this is dropped.
pub(crate) struct Registration {
    node: Node,
    /// The entry, unless it is to stay.
    entry: Option<Entry>,
}

/// One entry as it was set once.
struct Entry {
    family: String,
    key: String,
    /// Which setting of it.
    id: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(Entry { family, key, id }) = self.entry.take() {
            self.node.event(Event::Db(DbCommand::Release { family, key, id }));
        }
    }
}

/// Keeps an entry of the database: it is deleted when the guard is dropped, unless it was set again
/// since.
#[must_use = "the entry is deleted when its guard is dropped; use detach() to keep it"]
pub struct DbGuard(Registration);

impl fmt::Debug for DbGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = self.0.entry.as_ref().map(|entry| (&entry.family, &entry.key));
        f.debug_tuple("DbGuard").field(&entry).finish()
    }
}

impl DbGuard {
    /// Keeps the entry until it is deleted or the node ends.
    pub fn detach(mut self) {
        self.0.entry = None;
    }
}

/// The changes of a family, in order. Dropping it ends the watch.
pub struct DbWatch {
    node: Node,
    id: u64,
    changes: mpsc::UnboundedReceiver<(Told, Option<Charge>)>,
    content: Arc<BTreeMap<String, Value>>,
}

impl fmt::Debug for DbWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DbWatch({} entries, {} changes waiting)", self.content.len(), self.changes.len())
    }
}

impl DbWatch {
    /// The next change; `None` after the node was shut down, and when changes of more than 64 MiB
    /// waited to be read.
    ///
    /// # Cancel safety
    ///
    /// No change is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Change> {
        let (told, _charge) = self.changes.recv().await?;
        Some(self.change(told))
    }

    fn change(&mut self, Told { added, changed, deleted, set }: Told) -> Change {
        if self.content.is_empty() {
            self.content = set;
        } else {
            let content = Arc::make_mut(&mut self.content);
            for key in &deleted {
                content.remove(key);
            }
            content.extend(Arc::unwrap_or_clone(set));
        }
        Change { added, changed, deleted, content: self.content.clone() }
    }
}

impl Stream for DbWatch {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<Change>> {
        let told = self.changes.poll_recv(task);
        told.map(|told| told.map(|(told, _charge)| self.change(told)))
    }
}

impl Drop for DbWatch {
    fn drop(&mut self) {
        self.node.event(Event::Unwatch(self.id));
    }
}

impl Node {
    /// The shared database. A node that is connected to nobody has one of its own.
    pub fn db(&self) -> Database {
        Database::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_that_nobody_reads_are_not_kept_without_limit() {
        let (sender, mut changes) = mpsc::unbounded_channel();
        let watch = WatchSender { sender, waiting: Budget::new(1000) };
        let told = |bytes: usize| Told {
            added: Vec::new(),
            changed: Vec::new(),
            deleted: Vec::new(),
            set: Arc::new(BTreeMap::from([("k".into(), Value::Text("v".repeat(bytes)))])),
        };
        assert!(watch.tell(told(10)), "it fits");
        assert!(!watch.tell(told(1000)), "too much waits");
        drop(changes.recv().await);
        assert!(watch.tell(told(5000)), "nothing waits, and one change is told in any case");
        assert!(watch.tell(told(10)));
    }
}
