//! `aemp trace`: the connections between the nodes of a network.
//!
//! [`survey`] decides who is asked and along which way, [`network`] what follows from the answers,
//! [`draw`] how it looks; here is the node that asks.

mod draw;
mod network;
mod survey;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use aemp::log::OneLine;
use aemp::trace::UP_NODES_AND_RELAYS;
use aemp::{AnyMessage, MonitorGuard, Node, NodeId, PortId, Value};
use clap::Args;
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};

use crate::client::{self, Access};
use crate::failure::Failure;
use crate::values;
use network::Network;
use survey::{Question, Survey};

/// Show the connections between the nodes
///
/// Begins at NODE, or at the seeds, and asks each node to whom it is connected. Prints a tree in
/// which each node appears once; what is special stands in brackets: no answer in time, a
/// connection that one side does not see, one that another node carries. A connection that came or
/// went meanwhile can look as if one side did not see it.
///
/// A network is followed up to 4096 nodes, and no longer than four times as long as each node has;
/// exit status 1 if there is more.
///
/// Works with Perl nodes, unless these are in secure mode: then they do not answer. Exit status 1
/// if a node has not answered.
#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// The node to begin at
    node: Option<String>,
    /// Print a graph for Graphviz
    #[arg(long, conflicts_with = "json")]
    dot: bool,
    /// Print JSON: nodes and connections
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: Access,
}

impl Trace {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let start = self.node.as_deref().map(NodeId::new).transpose().map_err(Failure::usage)?;
        let node = self.access.client.start().await?;
        let network = self.explore(&node, start).await;
        client::end(&node, network.is_ok()).await;
        let network = network?;
        let text = if self.dot {
            draw::dot(&network)
        } else if self.json {
            values::json_text(&draw::json(&network))
        } else {
            draw::tree(&network)
        };
        crate::print(text.trim_end_matches('\n'))?;
        if network.cut {
            return Err(Failure::failed(
                "the nodes tell of more than is shown: there are too many, or it took too long",
            ));
        }
        let silent: Vec<&str> = network.silent().into_iter().map(NodeId::as_str).collect();
        if silent.is_empty() {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "no answer from {}: it is gone, cannot be reached, or is a Perl node in secure mode",
            silent.join(", ")
        )))
    }

    async fn explore(&self, node: &Node, start: Option<NodeId>) -> Result<Network, Failure> {
        let mut events = node.node_events();
        if start.is_none() {
            let up = async { while node.connected_nodes().is_empty() && events.next().await.is_some() {} };
            timeout(self.access.limit.timeout, up)
                .await
                .map_err(|_| Failure::failed(self.access.limit.no_seed(node)))?;
        }
        let began = Instant::now();
        let mut inquirer = Inquirer::new(node);
        let mut survey = Survey::new(node.id().clone(), self.access.limit.timeout);
        loop {
            let roots = start.clone().map_or_else(|| node.connected_nodes(), |start| vec![start]);
            let mut questions: Vec<Question> =
                roots.iter().filter_map(|root| survey.begin_at(root, began.elapsed())).collect();
            questions.extend(survey.due(began.elapsed()));
            for question in questions {
                inquirer.ask(&question)?;
            }
            let Some(next) = survey.next_timeout() else { return Ok(survey.into_network()) };
            let mut news = tokio::select! {
                news = inquirer.news.recv() => news,
                _ = events.next(), if start.is_none() => None,
                () = sleep_until((began + next).into()) => None,
            };
            // As many as can have waited: others may come for ever.
            for _ in 0..NEWS_MAX {
                let Some(one) = news else { break };
                for question in take(one, &mut survey, began) {
                    inquirer.ask(&question)?;
                }
                news = inquirer.news.try_recv().ok();
            }
        }
    }
}

/// What may wait to be looked at. More than that are no answers to questions of this command.
const NEWS_MAX: usize = 2 * 4096;

/// Bytes that are shown of a reason.
const REASON_MAX: usize = 300;

/// What comes back.
enum News {
    /// `NODE, ERROR, NEIGHBOUR…`.
    Answer(AnyMessage),
    /// A node that was asked directly cannot be reached.
    Unreachable(NodeId, String),
}

/// Tells the survey; what it wants to know next.
fn take(news: News, survey: &mut Survey, began: Instant) -> Vec<Question> {
    match news {
        News::Answer(AnyMessage(values)) => match answer(&values) {
            Some((node, Ok(neighbours))) => survey.answered(&node, neighbours, began.elapsed()),
            Some((node, Err(why))) => {
                survey.refused(&node, why);
                Vec::new()
            }
            None => Vec::new(),
        },
        News::Unreachable(node, why) => {
            survey.unreachable(&node, why);
            Vec::new()
        }
    }
}

/// The first words of a reason.
fn reason(value: &Value) -> String {
    let mut line = OneLine::new(REASON_MAX);
    // An error says that it is cut.
    let _ = line.write_str(&values::to_words(std::slice::from_ref(value)));
    line.into_string()
}

type Neighbours = BTreeMap<NodeId, Option<NodeId>>;

/// Reads `NODE, ERROR, NEIGHBOUR…`. What is not a node ID is left out.
fn answer(values: &[Value]) -> Option<(NodeId, Result<Neighbours, String>)> {
    let name = |value: &Value| NodeId::new(&value.to_name()?).ok();
    let [node, error, neighbours @ ..] = values else { return None };
    let error = reason(error);
    let answer = if error.is_empty() {
        let neighbour = |value: &Value| match value {
            Value::List(pair) => Some((name(pair.first()?)?, pair.get(1).and_then(name))),
            value => Some((name(value)?, None)),
        };
        Ok(neighbours.iter().filter_map(neighbour).collect())
    } else {
        Err(error)
    };
    Some((name(node)?, answer))
}

/// Asks nodes, and hears what they say.
struct Inquirer<'a> {
    node: &'a Node,
    /// Where the answers go.
    port: PortId,
    sender: mpsc::Sender<News>,
    news: mpsc::Receiver<News>,
    monitors: Vec<MonitorGuard>,
}

impl<'a> Inquirer<'a> {
    fn new(node: &'a Node) -> Inquirer<'a> {
        let (sender, news) = mpsc::channel(NEWS_MAX);
        let answers = sender.clone();
        // Nobody listens any more when the survey is over, and what is too much is lost.
        let port = node.port(move |_, answer: AnyMessage| drop(answers.try_send(News::Answer(answer))));
        Inquirer { node, port: port.into(), sender, news, monitors: Vec::new() }
    }

    fn ask(&mut self, question: &Question) -> Result<(), Failure> {
        let first = question.route.first().unwrap_or(&question.node).control_port();
        if question.route.is_empty() {
            let (sender, node) = (self.sender.clone(), question.node.clone());
            self.monitors.push(self.node.monitor(&first, move |reason| {
                let why = reason.values().last().map(self::reason);
                drop(sender.try_send(News::Unreachable(node, why.unwrap_or_default())));
            }));
        }
        self.node.send(&first, message(question, &self.port)).map_err(Failure::failed)
    }
}

/// The question as the first node gets it: it passes on what the next one gets, and the answer
/// comes back the same way.
fn message(question: &Question, answer_to: &PortId) -> AnyMessage {
    let (snd, node) = (Value::name("snd"), Value::name(question.node.as_str()));
    let mut values = Vec::new();
    for next in question.route.iter().chain([&question.node]).skip(1) {
        values.extend([snd.clone(), Value::name(next.as_str())]);
    }
    values.extend([Value::name("eval"), Value::name(UP_NODES_AND_RELAYS)]);
    for back in question.route.iter().rev() {
        values.extend([Value::name(back.as_str()), snd.clone()]);
    }
    values.extend([Value::from(answer_to), node]);
    AnyMessage(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(message: &AnyMessage) -> Vec<String> {
        message.0.iter().map(|value| value.to_name().unwrap()).collect()
    }

    #[test]
    fn questions_and_answers_are_passed_on_by_the_nodes_between() {
        let node = |name: &str| NodeId::new(name).unwrap();
        let me = PortId::parse("me#port").unwrap();
        let direct = message(&Question { node: node("a"), route: Vec::new() }, &me);
        assert_eq!(words(&direct), ["eval", UP_NODES_AND_RELAYS, "me#port", "a"]);
        let relayed = message(&Question { node: node("c"), route: vec![node("a"), node("b")] }, &me);
        let expected =
            ["snd", "b", "snd", "c", "eval", UP_NODES_AND_RELAYS, "b", "snd", "a", "snd", "me#port", "c"];
        assert_eq!(words(&relayed), expected);
    }

    #[test]
    fn answers_are_read_as_perl_and_we_write_them() {
        let relayed = Value::List(vec![Value::name("d"), Value::name("b")]);
        let values = [
            Value::name("a"),
            Value::name(""),
            Value::Text("b".into()),
            Value::Null,
            Value::name("c d"),
            relayed,
            Value::List(vec![]),
        ];
        let (node, neighbours) = answer(&values).unwrap();
        assert_eq!(node.as_str(), "a");
        let texts = neighbours.unwrap().into_iter().map(|(node, via)| format!("{node} {via:?}"));
        assert_eq!(texts.collect::<Vec<_>>(), ["b None", "d Some(NodeId(b))"]);
        let refused = answer(&[Value::name("a"), Value::name("no\n")]).unwrap().1;
        assert_eq!(refused.unwrap_err(), "no");
        assert!(answer(&[Value::name("a")]).is_none());
    }
}
