//! `aemp follow`: what becomes of single messages, on all nodes that they, and what follows from
//! them, come to.

mod story;

use std::collections::BTreeMap;
use std::time::Duration;

use aemp::follow::{HopKind, Hops, Rule, Subject};
use aemp::stats::AskError;
use aemp::{Node, NodeId, PortId};
use clap::Args;
use tokio::time::{Instant, sleep};

use crate::client::{self, Access};
use crate::failure::Failure;
use crate::inspect::known::Known;
use crate::inspect::{ask_each, connected};
use story::{Clock, Event};

/// How often nodes are asked.
const INTERVAL: Duration = Duration::from_millis(200);

/// When nothing was pending of a trace for so long, it is told.
const QUIET: Duration = Duration::from_millis(1000);

/// Follow single messages over all nodes that they come to
///
/// Tells of the next messages to a port, or with a tag, and of all that their handlers sent because
/// of them: when each was sent, how long it took to arrive and waited in its mailbox, and how long
/// its handler took. The order is that of cause, not of the clocks: where those differ, the
/// difference is shown and taken into account. Nothing of what is in a message is shown but its
/// tag.
///
/// All nodes that the seeds know are asked to look at their messages until the command ends. A
/// trace ends at a Perl node, and at one in secure mode, which tell nothing; a message that comes
/// from one is followed from where it arrives.
#[derive(Debug, Args)]
pub(crate) struct Follow {
    /// A port ID (with a #), or a tag: the first value of messages
    #[arg(value_name = "PORT|TAG")]
    what: String,
    /// It is a tag, though there is a # in it
    #[arg(long)]
    tag: bool,
    /// How many messages to follow
    #[arg(short, long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..=100))]
    count: u32,
    /// Seconds to wait for them
    #[arg(short, long, value_name = "SECONDS", default_value = "60", value_parser = client::seconds)]
    wait: Duration,
    /// Print JSON, one line for each message
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: Access,
}

/// A node that follows messages for us.
struct TracingNode {
    id: NodeId,
    clock: Clock,
    /// The first hop that it has not told of.
    next: u64,
}

/// What was pending of a trace.
struct PendingTrace {
    events: Vec<Event>,
    last: Instant,
}

impl Follow {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let subject = match self.what.contains('#') && !self.tag {
            true => Subject::Port(PortId::parse(&self.what).map_err(|error| {
                Failure::usage(format!("{}: {error}; for a tag with a # use --tag", self.what))
            })?),
            false => Subject::Tag(self.what.clone()),
        };
        connected(&self.access, async |node: &Node| {
            let mut nodes = self.begin(node, &subject).await?;
            let told = self.listen(node, &subject, &mut nodes).await;
            self.end(node, &subject, &nodes).await;
            match told? {
                0 => {
                    Err(Failure::failed(format!("{}: no message was seen within {:?}", self.what, self.wait)))
                }
                _ => Ok(()),
            }
        })
        .await
    }

    fn rule(&self, subject: &Subject, count: u32) -> Rule {
        Rule { subject: subject.clone(), count, lasts: self.wait }
    }

    /// Asks all nodes to follow such messages.
    async fn begin(&self, node: &Node, subject: &Subject) -> Result<Vec<TracingNode>, Failure> {
        let known = Known::of(node, self.access.limit.timeout).await;
        let ids: Vec<NodeId> = known.node_ids().collect();
        if let Subject::Port(port) = subject
            && !known.has_node(port.node())
        {
            let (id, like) = (port.node(), known.nodes_like(port.node().as_str()));
            return Err(Failure::failed(format!("{id}: there is no such node{like}")));
        }
        let (rule, limit) = (self.rule(subject, self.count), self.access.limit.timeout);
        let mut nodes = Vec::new();
        for (id, clock, answer) in set_rules(node, ids, &rule, limit).await {
            match answer {
                Ok(hops) => nodes.push(TracingNode { id, clock, next: hops.next }),
                Err(error) => tracing::warn!(node = %id, %error, "messages are not followed on this node"),
            }
        }
        match nodes.is_empty() {
            true => Err(Failure::failed("no node follows messages for others")),
            false => Ok(nodes),
        }
    }

    /// Tells of traces until there were enough, or the time is up. Gives how many it told of.
    async fn listen(
        &self,
        node: &Node,
        subject: &Subject,
        nodes: &mut [TracingNode],
    ) -> Result<u32, Failure> {
        let until = Instant::now() + self.wait;
        let (mut pending, mut told) = (BTreeMap::<String, PendingTrace>::new(), 0);
        loop {
            for TracingNode { id, next, .. } in &mut *nodes {
                let Ok(hops) = node.hops_of(id, *next, self.access.limit.timeout).await else { continue };
                *next = hops.next.max(*next);
                add_hops(&mut pending, id, hops);
            }
            let over = Instant::now() >= until;
            let quiet = |pending: &PendingTrace| over || pending.last.elapsed() >= QUIET;
            let clocks: BTreeMap<String, Clock> =
                nodes.iter().map(|node| (node.id.to_string(), node.clock)).collect();
            let ended: Vec<String> = pending
                .iter()
                .filter(|(_, pending)| quiet(pending))
                .map(|(trace, _)| trace.clone())
                .collect();
            let mut ended: Vec<(String, PendingTrace)> =
                ended.into_iter().filter_map(|trace| pending.remove_entry(&trace)).collect();
            ended.sort_by(|(_, one), (_, other)| story::earlier(&one.events, &other.events, &clocks));
            for (trace, PendingTrace { events, .. }) in ended {
                if events.iter().any(|event| matches(subject, event)) && is_whole(&events, nodes) {
                    self.tell(&trace, &events, &clocks)?;
                    told += 1;
                }
                if told == self.count {
                    return Ok(told);
                }
            }
            if over {
                return Ok(told);
            }
            sleep(INTERVAL).await;
        }
    }

    fn tell(&self, trace: &str, events: &[Event], clocks: &BTreeMap<String, Clock>) -> Result<(), Failure> {
        if self.json {
            return crate::print(&crate::values::json_text(&story::json(trace, events, clocks)));
        }
        story::lines(trace, events, clocks).iter().try_for_each(|line| crate::print(line))
    }

    /// The nodes need not follow anything any more.
    async fn end(&self, node: &Node, subject: &Subject, nodes: &[TracingNode]) {
        let (rule, limit) = (self.rule(subject, 0), self.access.limit.timeout);
        let ids = nodes.iter().map(|node| node.id.clone());
        set_rules(node, ids, &rule, limit).await;
    }
}

/// Whether an event is one of those that were asked for.
fn matches(subject: &Subject, event: &Event) -> bool {
    match subject {
        Subject::Port(port) => event.hop.port == port.to_string(),
        Subject::Tag(tag) => event.hop.tag.as_ref() == Some(tag),
        _ => false,
    }
}

/// Whether a trace begins where its message does. A node that was asked to follow earlier than its
/// peer begins with what that has sent before.
fn is_whole(events: &[Event], nodes: &[TracingNode]) -> bool {
    let first = events.iter().filter(|event| event.hop.parent.is_none());
    let begins_late = |event: &Event| {
        event.hop.peer.as_ref().is_some_and(|peer| nodes.iter().any(|node| node.id.as_str() == peer))
    };
    !first.into_iter().any(|event| event.hop.kind == HopKind::Handled && begins_late(event))
}

fn add_hops(pending: &mut BTreeMap<String, PendingTrace>, node: &NodeId, hops: Hops) {
    for hop in hops.hops {
        let known = pending.entry(hop.trace.clone());
        let known = known.or_insert_with(|| PendingTrace { events: Vec::new(), last: Instant::now() });
        known.last = Instant::now();
        known.events.push(Event { node: node.to_string(), hop });
    }
}

/// Has nodes follow messages, and compares their clocks with the one here.
async fn set_rules(
    node: &Node,
    ids: impl IntoIterator<Item = NodeId>,
    rule: &Rule,
    limit: Duration,
) -> Vec<(NodeId, Clock, Result<Hops, AskError>)> {
    let question = |node: Node, id: NodeId| {
        let rule = rule.clone();
        async move { node.follow_messages_at(&id, rule, limit).await }
    };
    let answers = ask_each(node, ids, question, |hops| hops.time).await;
    answers.into_iter().map(|(id, (ahead, doubt), answer)| (id, Clock { ahead, doubt }, answer)).collect()
}
