//! Looking at a network again and again: what `nodes`, `ports`, `families`, `stats` and `lost` ask
//! for, as lists.

use std::collections::BTreeMap;
use std::time::Duration;

use aemp::stats::{AskError, PeerStats};
use aemp::{CallError, Node, NodeId, Stats};
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

use super::view::View;
use crate::inspect::known::Known;
use crate::inspect::{self, AT_ONCE, Asked, ask_all, families, lost, ports, stats};
use crate::output::Table;

/// Ports of each node that are shown when no node was chosen.
const PORTS_OF_EACH: usize = 20;

/// Ports that are shown of a node that was chosen.
const PORTS_OF_ONE: usize = 1000;

/// Looks for which a node is still shown that has answered, and that nobody knows any more.
const REMEMBERED: u32 = 60;

/// What to look at besides nodes, links and families, which one answer of each node tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) ports: bool,
    pub(crate) lost: bool,
    /// Only of this node.
    pub(crate) of: Option<String>,
}

/// What was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Picture {
    /// When, in seconds since 1970 by the clock here.
    pub(crate) time: f64,
    /// A list for each [`View`]; `None` if it was not wanted.
    pub(crate) tables: [Option<Table>; 5],
}

/// Who looks, and what the nodes told before.
pub(crate) struct Observer {
    node: Node,
    limit: Duration,
    before: BTreeMap<String, Stats>,
    /// For how many looks a node that has answered has not done so.
    silent: BTreeMap<String, u32>,
}

impl Observer {
    /// Looks through this node, and waits no longer than this for an answer.
    pub(crate) fn new(node: Node, limit: Duration) -> Observer {
        Observer { node, limit, before: BTreeMap::new(), silent: BTreeMap::new() }
    }

    /// Looks once.
    pub(crate) async fn look(&mut self, wanted: &Wanted) -> Picture {
        let mut known = Known::listening(&self.node, self.limit).await;
        // Those that only others are connected to.
        self.before.values().for_each(|stats| known.add(stats));
        for name in self.silent.keys() {
            known.nodes.entry(name.clone()).or_default();
        }
        known.nodes.remove(self.node.id().as_str());
        let mut answers = ask_all(&self.node, known.node_ids(), self.limit).await;
        answers.iter().filter_map(|asked| asked.stats.as_ref().ok()).for_each(|stats| known.add(stats));
        known.nodes.remove(self.node.id().as_str());
        let unasked = known.node_ids().filter(|id| !answers.iter().any(|asked| asked.node == *id));
        let unasked: Vec<NodeId> = unasked.collect();
        answers.extend(ask_all(&self.node, unasked, self.limit).await);
        answers.sort_by(|one, other| one.node.cmp(&other.node));

        let mut picture = Picture { time: inspect::now(), ..Picture::default() };
        let mut put = |view: View, table| picture.tables[view.index()] = Some(table);
        put(View::Nodes, self.nodes(&answers, &known));
        put(View::Links, self.links(&answers));
        if let Some(families) = &known.families {
            put(View::Families, families::table(families));
        }
        let asked: Vec<NodeId> = answers
            .iter()
            .filter(|asked| asked.stats.is_ok())
            .map(|asked| asked.node.clone())
            .filter(|id| wanted.of.as_ref().is_none_or(|of| id.as_str() == of))
            .collect();
        if wanted.ports {
            let most = if wanted.of.is_some() { PORTS_OF_ONE } else { PORTS_OF_EACH };
            put(View::Ports, self.ports(&asked, most).await);
        }
        if wanted.lost {
            put(View::Lost, self.lost(&asked).await);
        }
        let told = answers.into_iter().filter_map(|asked| asked.stats.ok());
        self.before = told.map(|stats| (stats.node.clone(), stats)).collect();
        self.silent.values_mut().for_each(|looks| *looks += 1);
        self.silent.extend(self.before.keys().map(|name| (name.clone(), 0)));
        self.silent.retain(|_, looks| *looks < REMEMBERED);
        picture
    }

    fn nodes(&self, answers: &[Asked], known: &Known) -> Table {
        let mut table = Table::new(&View::Nodes.columns());
        for Asked { node, stats, .. } in answers {
            let stats = stats.as_ref();
            let of = |known: fn(&Stats) -> Json| stats.map_or(Json::Null, known);
            let [messages, bytes] = stats.map_or([Json::Null, Json::Null], |now| {
                self.rates(now, |stats| sum(stats.peers.values().chain([&stats.former_peers])))
            });
            let addresses = known.nodes.get(node.as_str()).filter(|addresses| !addresses.is_empty());
            table.row(vec![
                json!(node.as_str()),
                json!(stats.map_or_else(state, |_| "up")),
                of(|stats| json!(stats.program)),
                of(|stats| json!(stats.uptime as u64)),
                of(|stats| json!(stats.ports)),
                of(|stats| json!(stats.peers.values().filter(|peer| peer.connection.is_some()).count())),
                of(|stats| json!(stats.mailboxes.bytes)),
                messages,
                bytes,
                of(|stats| json!(stats.kills.values().sum::<u64>())),
                of(|stats| json!(stats.undeliverable.values().sum::<u64>())),
                of(|stats| json!(stats.blocked_handlers)),
                addresses.map_or(Json::Null, |addresses| json!(addresses)),
            ]);
        }
        table
    }

    fn links(&self, answers: &[Asked]) -> Table {
        let mut table = Table::new(&View::Links.columns());
        for stats in answers.iter().filter_map(|asked| asked.stats.as_ref().ok()) {
            let is_member =
                |peer: &PeerStats| peer.connection.as_ref().is_none_or(|connection| !connection.client);
            for (name, peer) in stats.peers.iter().filter(|(_, peer)| is_member(peer)) {
                let of_peer = |stats: &Stats| sum(stats.peers.get(name).into_iter());
                let mut row = vec![json!(stats.node)];
                row.extend(stats::peer_row(name, peer));
                row.splice(6..6, self.rates(stats, of_peer));
                table.row(row);
            }
        }
        table
    }

    /// Messages and bytes a second since a node was asked last; unknown the first time.
    fn rates(&self, now: &Stats, of: impl Fn(&Stats) -> [u64; 2]) -> [Json; 2] {
        let before = self.before.get(&now.node).filter(|before| now.uptime > before.uptime);
        let Some(before) = before else { return [Json::Null, Json::Null] };
        let (count, counted, seconds) = (of(now), of(before), now.uptime - before.uptime);
        [0, 1].map(|at| json!((count[at].saturating_sub(counted[at]) as f64 / seconds).round() as u64))
    }

    async fn ports(&self, asked: &[NodeId], most: usize) -> Table {
        let limit = self.limit;
        let ports = all(asked, &self.node, move |node: Node, id| async move {
            node.port_stats_of(&id, most, limit).await
        });
        let mut table = Table::new(&View::Ports.columns());
        for (_, ports) in ports.await {
            ports.iter().for_each(|port| table.row(ports::row(port)));
        }
        table
    }

    async fn lost(&self, asked: &[NodeId]) -> Table {
        let limit = self.limit;
        let lost =
            all(
                asked,
                &self.node,
                move |node: Node, id| async move { node.lost_messages_of(&id, limit).await },
            );
        let mut table = Table::new(&View::Lost.columns());
        for (node, messages) in lost.await {
            for message in &messages {
                let mut row = vec![json!(node.as_str())];
                row.extend(lost::row(message));
                table.row(row);
            }
        }
        table
    }
}

/// Asks nodes something; those that do not answer are left out.
async fn all<T: Send + 'static, F: Future<Output = Result<Vec<T>, AskError>> + Send + 'static>(
    asked: &[NodeId],
    node: &Node,
    question: impl Fn(Node, NodeId) -> F,
) -> Vec<(NodeId, Vec<T>)> {
    let (mut open, mut answers) = (JoinSet::new(), Vec::new());
    for id in asked {
        if open.len() == AT_ONCE {
            answers.extend(open.join_next().await.and_then(Result::ok));
        }
        let (id, answer) = (id.clone(), question(node.clone(), id.clone()));
        open.spawn(async move { (id, answer.await) });
    }
    answers.extend(open.join_all().await);
    answers.sort_by(|(one, _), (other, _)| one.cmp(other));
    answers.into_iter().filter_map(|(id, answer)| Some((id, answer.ok()?))).collect()
}

/// Messages and bytes in both directions.
fn sum<'a>(peers: impl Iterator<Item = &'a PeerStats>) -> [u64; 2] {
    peers.fold([0, 0], |[messages, bytes], peer| {
        [
            messages + stats::messages(&peer.sent) + stats::messages(&peer.received),
            bytes + peer.sent.bytes + peer.received.bytes,
        ]
    })
}

/// What is known of a node that does not tell how it is.
fn state(error: &AskError) -> &'static str {
    match error {
        // It answers, so it is there.
        AskError::Unknown | AskError::Unreadable(_) | AskError::Refused(_) => "up, tells nothing",
        AskError::Call(CallError::Died(_)) => "unreachable",
        AskError::Call(_) | _ => "silent",
    }
}

#[cfg(test)]
mod tests {
    use aemp::{AnyMessage, DecodeError, Reason};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn node(id: &str, seed: Option<&Node>) -> Node {
        let mut builder = Node::builder().id(id).secret("a secret of the tests").bind("127.0.0.1:0");
        if let Some(seed) = seed {
            builder = builder.seed(seed.local_addrs()[0]);
        }
        let node = builder.start().await.unwrap();
        let mut events = node.node_events();
        while seed.is_some() && node.connected_nodes().is_empty() {
            events.next().await.unwrap();
        }
        node
    }

    fn rows(picture: &Picture, view: View) -> Vec<Vec<Json>> {
        picture.tables[view.index()].as_ref().map_or(Vec::new(), |table| table.rows().to_vec())
    }

    fn cell<'a>(row: &'a [Json], view: View, name: &str) -> &'a Json {
        &row[view.columns().iter().position(|column| *column == name).unwrap()]
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_look_shows_all_nodes_and_links_and_rates_from_the_second_on() {
        let seed = node("seed", None).await;
        let worker = node("worker", Some(&seed)).await;
        let port = seed.port(|_, _: AnyMessage| {});
        seed.db().register("readers", &port).unwrap();
        let client = Node::builder().id("me").secret("a secret of the tests").seed(seed.local_addrs()[0]);
        let client = client.client(true).start().await.unwrap();
        let mut events = client.node_events();
        while client.connected_nodes().is_empty() {
            events.next().await.unwrap();
        }
        let mut observer = Observer::new(client.clone(), PATIENCE);
        let first = observer.look(&Wanted::default()).await;
        let names = |picture: &Picture, view: View, column: usize| {
            let name = |row: &Vec<Json>| row[column].as_str().unwrap().to_owned();
            rows(picture, view).iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(names(&first, View::Nodes, 0), ["seed", "worker"]);
        // Both ends, and no clients.
        assert_eq!(names(&first, View::Links, 0), ["seed", "worker"]);
        assert_eq!(names(&first, View::Links, 1), ["worker", "seed"]);
        assert!(names(&first, View::Families, 0).contains(&"readers".to_owned()));
        assert!(first.tables[View::Ports.index()].is_none() && first.tables[View::Lost.index()].is_none());
        assert!(cell(&rows(&first, View::Nodes)[0], View::Nodes, "messages_per_s").is_null());

        let nobody = aemp::PortId::parse("seed#nobody").unwrap();
        worker.send(&nobody, ("lost", 1)).unwrap();
        // An answer comes behind the message.
        worker
            .call::<_, AnyMessage, _>(&nobody, PATIENCE, |reply| (reply.port().clone(),))
            .await
            .unwrap_err();
        let wanted = Wanted { ports: true, lost: true, of: Some("seed".into()) };
        let second = observer.look(&wanted).await;
        assert!(cell(&rows(&second, View::Nodes)[0], View::Nodes, "messages_per_s").is_u64());
        assert!(names(&second, View::Ports, 0).contains(&port.port().to_string()));
        assert_eq!(names(&second, View::Lost, 3)[0], "lost");

        worker.shutdown().await;
        let third = observer.look(&Wanted::default()).await;
        // One that has gone is shown for a while.
        assert_eq!(names(&third, View::Nodes, 0), ["seed", "worker"]);
        assert_eq!(names(&third, View::Nodes, 1), ["up", "unreachable"]);
        observer.silent.insert("worker".into(), REMEMBERED - 1);
        observer.look(&Wanted::default()).await;
        assert_eq!(names(&observer.look(&Wanted::default()).await, View::Nodes, 0), ["seed"]);
        client.shutdown().await;
        seed.shutdown().await;
    }

    #[test]
    fn what_does_not_tell_is_still_told_of() {
        let died = CallError::Died(Reason::text("transport_error", "x"));
        assert_eq!(state(&AskError::Unknown), "up, tells nothing");
        assert_eq!(state(&AskError::Refused("this node does not evaluate code".into())), "up, tells nothing");
        assert_eq!(state(&AskError::Call(died)), "unreachable");
        assert_eq!(state(&AskError::Call(CallError::TimedOut(PATIENCE))), "silent");
        let unreadable: DecodeError = serde::de::Error::custom("x");
        assert_eq!(state(&AskError::Unreadable(unreadable)), "up, tells nothing");
    }
}
