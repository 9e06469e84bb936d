//! What this node asks of its master, and what has not been answered yet. After a change of master
//! all of it is asked anew, and all that the old one still says is not heard.

use std::collections::BTreeMap;

use super::QueryKind;
use super::watch::Watches;
use crate::wire::MeshRequest;
use crate::wire::request::Family;
use crate::{NodeId, Value};

/// Who answers our requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Master {
    /// Nobody, for now: requests wait.
    Nobody,
    /// We ourselves.
    Own,
    /// This node.
    Node(NodeId),
}

/// The open requests of this node.
#[derive(Debug)]
pub(crate) struct Client {
    master: Master,
    queries: BTreeMap<u64, (QueryKind, String)>,
    /// The watches.
    pub(crate) watches: Watches,
}

impl Client {
    /// A client without master.
    pub(crate) fn new() -> Client {
        Client { master: Master::Nobody, queries: BTreeMap::new(), watches: Watches::default() }
    }

    /// The present master.
    pub(crate) fn master(&self) -> &Master {
        &self.master
    }

    /// Whether this node is our master.
    pub(crate) fn is_master(&self, node: &NodeId) -> bool {
        matches!(&self.master, Master::Node(master) if master == node)
    }

    /// Takes another master.
    pub(crate) fn set_master(&mut self, master: Master) {
        self.master = master;
        self.watches.new_master();
    }

    /// A query waits for its answer from now on.
    pub(crate) fn ask(&mut self, id: u64, kind: QueryKind, family: &str) {
        self.queries.insert(id, (kind, family.into()));
    }

    /// Nobody waits for the answer to this query any more.
    pub(crate) fn forget(&mut self, id: u64) {
        self.queries.remove(&id);
    }

    /// All queries that wait, with what they ask.
    pub(crate) fn take_queries(&mut self) -> BTreeMap<u64, (QueryKind, String)> {
        std::mem::take(&mut self.queries)
    }

    /// Everything that a new master has to be asked.
    pub(crate) fn open_requests(&self) -> Vec<MeshRequest> {
        let queries = self.queries.iter().map(|(id, (kind, family))| query(*id, *kind, family));
        let watches = self.watches.families().map(|family| MeshRequest::Watch(family.clone()));
        queries.chain(watches).collect()
    }

    /// An answer of the master. Gives the query that it is for, if that is still open.
    pub(crate) fn answered(&mut self, id: &Value) -> Option<u64> {
        let id = match id {
            Value::Int(number) => u64::try_from(*number).ok()?,
            other => other.to_name()?.parse().ok()?,
        };
        self.queries.remove(&id).map(|_| id)
    }
}

/// A query as a request to the master. The number travels as a string: a Perl node hands it back as
/// it came.
pub(crate) fn query(id: u64, kind: QueryKind, family: &str) -> MeshRequest {
    let (family, id) = (family.to_owned(), Value::name(&id.to_string()));
    match kind {
        QueryKind::Family => MeshRequest::Family(family, id),
        QueryKind::Keys => MeshRequest::Keys(family, id),
        QueryKind::Values => MeshRequest::Values(family, id),
    }
}

/// The answer to a query out of the content of its family.
pub(crate) fn answer(kind: QueryKind, content: Family) -> Value {
    match kind {
        QueryKind::Family => {
            Value::Map(content.into_iter().map(|(key, value)| (Value::name(&key), value)).collect())
        }
        QueryKind::Keys => Value::List(content.keys().map(|key| Value::name(key)).collect()),
        QueryKind::Values => Value::List(content.into_values().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_answered_once_in_any_shape_that_its_number_comes_back_in() {
        let mut client = Client::new();
        client.ask(7, QueryKind::Keys, "f");
        client.ask(8, QueryKind::Keys, "f");
        assert_eq!(client.answered(&Value::name("7")), Some(7));
        assert_eq!(client.answered(&Value::Int(7)), None);
        assert_eq!(client.answered(&Value::Int(8)), Some(8));
        assert_eq!(client.answered(&Value::Null), None);
    }

    #[test]
    fn a_new_master_is_asked_everything_that_is_open() {
        let mut client = Client::new();
        client.ask(7, QueryKind::Values, "f");
        client.ask(8, QueryKind::Values, "f");
        client.forget(8);
        client.watches.watch(1, "g");
        let asked = client.open_requests();
        assert_eq!(asked, [query(7, QueryKind::Values, "f"), MeshRequest::Watch("g".into())]);
    }
}
