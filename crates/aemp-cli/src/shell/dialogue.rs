//! The shell's side of the network: which node is talked to, and what it answers.
//!
//! Answers and what is sent to the echo port come into one mailbox, so that they are shown in the
//! order in which they were sent.

use std::collections::HashMap;

use aemp::{AnyMessage, Evaluate, ExitFuture, Node, NodeId, PortId, Value};
use tokio::signal::unix::{Signal, SignalKind};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::keyboard::Keyboard;
use super::line::{self, Language, Line};
use crate::client::Limit;
use crate::eval::{no_answer, results};
use crate::failure::Failure;
use crate::{run, scripts, values};

/// The package in which Perl nodes evaluate at first, as in Perl's own shell.
const PACKAGE: &str = "AnyEvent::MP::Kernel";

/// The first value of an answer, by which it is told from a message that somebody sent to the echo
/// port.
const ANSWER: &str = "aemp::shell";

/// What `can` is true of on our nodes only.
const OWN_KIND: &str = "aemp";

/// The node that is talked to, and all that belongs to it.
pub(super) struct Dialogue<'a> {
    node: &'a Node,
    /// What evaluates on the own node.
    own: Option<Box<dyn Evaluate>>,
    limit: &'a Limit,
    /// Shows what is sent to it, and takes the answers.
    echo: PortId,
    mailbox: mpsc::UnboundedReceiver<AnyMessage>,
    interrupt: Signal,
    /// Whether Ctrl-C has ended the wait for an answer.
    pub(super) interrupted: bool,
    /// The number of the last question.
    asked: u64,
    target: NodeId,
    languages: HashMap<NodeId, Language>,
    package: String,
}

/// What came into the mailbox.
enum News {
    /// An answer: the number of the question, and what was said.
    Answer(u64, Vec<Value>),
    /// A message to the echo port.
    Echo(Vec<Value>),
}

impl<'a> Dialogue<'a> {
    /// Begins with the own node.
    pub(super) fn open(node: &'a Node, limit: &'a Limit) -> Result<Dialogue<'a>, Failure> {
        let interrupt = run::catch(SignalKind::interrupt())?;
        let (sender, mailbox) = mpsc::unbounded_channel();
        // Nobody listens any more when the shell ends.
        let echo = node.port(move |_, message: AnyMessage| drop(sender.send(message)));
        let target = node.id().clone();
        let languages = HashMap::from([(target.clone(), Language::Script)]);
        let package = PACKAGE.to_owned();
        let own = scripts::own_evaluator();
        Ok(Dialogue {
            node,
            own,
            limit,
            echo: echo.into(),
            mailbox,
            interrupt,
            interrupted: false,
            asked: 0,
            target,
            languages,
            package,
        })
    }

    /// What stands before a line.
    pub(super) fn prompt(&self) -> String {
        match self.language() {
            Language::Perl => format!("{} {}> ", self.target, self.package),
            Language::Script => format!("{}> ", self.target),
        }
    }

    /// Waits for a message to the echo port, or a late answer, and gives it as a line to be shown;
    /// `None` if Ctrl-C comes first.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub(super) async fn message(&mut self) -> Option<String> {
        tokio::select! {
            Some(message) = self.mailbox.recv() => Some(match sort(message.0) {
                News::Echo(values) => echoed(&values),
                News::Answer(_, values) => format!("late answer: {}", values::to_line(&values)),
            }),
            _ = self.interrupt.recv() => None,
        }
    }

    /// The keys of a family, to be shown.
    async fn keys(&self, family: &str) -> Result<Vec<String>, String> {
        let keys = timeout(self.limit.timeout, self.node.db().keys(family)).await;
        let keys = keys.map_err(|_| self.limit.no_seed(self.node))?;
        let keys = keys.map_err(|error| error.to_string())?;
        Ok(keys.iter().map(|key| values::escaped(key)).collect())
    }

    /// Does what a line asks for, and prints what comes of it.
    ///
    /// # Errors
    ///
    /// A sentence about what did not work.
    pub(super) async fn line(&mut self, line: &str, keyboard: &Keyboard) -> Result<(), String> {
        match line::parse(line, self.language()).map_err(|error| error.to_string())? {
            Line::Blank => Ok(()),
            Line::Nodes => {
                // Those that listen, and those that are reached through others.
                let mut nodes = self.keys("'l").await?;
                nodes.extend(self.keys("'x").await?);
                nodes.sort();
                nodes.dedup();
                print(keyboard, &format!("nodes: {}", nodes.join(" ")))
            }
            Line::Switch(node) => self.switch(node, keyboard).await,
            Line::Package(package) => {
                self.package = package;
                Ok(())
            }
            Line::Code(code) => {
                let code = line::dress(&code, self.language(), &self.package, &self.echo);
                let answer = self.evaluate(code, keyboard).await?;
                let results = results(answer).map_err(|error| format!("{}: {error}", self.target))?;
                print(keyboard, &values::to_line(&results))
            }
        }
    }

    /// Lines go to this node from now on, if it can be reached.
    pub(super) async fn switch(&mut self, node: NodeId, keyboard: &Keyboard) -> Result<(), String> {
        if !self.languages.contains_key(&node) {
            let answer = self.ask(&node, ["can", OWN_KIND], keyboard).await?;
            let language = if is_true(answer.first()) { Language::Script } else { Language::Perl };
            self.languages.insert(node.clone(), language);
        }
        self.target = node;
        Ok(())
    }

    fn language(&self) -> Language {
        self.languages[&self.target]
    }

    /// Has the node evaluate code. The own node does it for this shell only, without being asked
    /// over its node port: nobody else may.
    async fn evaluate(&mut self, code: String, keyboard: &Keyboard) -> Result<Vec<Value>, String> {
        let target = self.target.clone();
        if target != *self.node.id() {
            return self.ask(&target, ["eval", &code], keyboard).await;
        }
        let own = "this command was built without scripts, so its own node evaluates nothing; switch to another with =NODE";
        let evaluator = self.own.as_ref().ok_or(own)?;
        self.asked += 1;
        let (node, echo, number) = (self.node.clone(), self.echo.clone(), self.asked);
        let answer = move |outcome: Result<Vec<Value>, String>| {
            let (error, results) =
                outcome.map_or_else(|error| (error, Vec::new()), |results| ("".into(), results));
            let head = [Value::name(ANSWER), number.into(), Value::Text(error)];
            // It goes where the messages go, so that their order is kept.
            if let Err(error) = node.send(&echo, AnyMessage(head.into_iter().chain(results).collect())) {
                tracing::warn!(%error, "a result cannot be shown");
            }
        };
        evaluator.evaluate(self.node, code, Box::new(answer));
        self.answer(&target, self.node.exited(&target.control_port()), keyboard).await
    }

    /// Sends a request to a node and waits for the answer; shows what else comes meanwhile.
    async fn ask(
        &mut self,
        target: &NodeId,
        [tag, argument]: [&str; 2],
        keyboard: &Keyboard,
    ) -> Result<Vec<Value>, String> {
        self.asked += 1;
        let death = self.node.exited(&target.control_port());
        self.node
            .send(&target.control_port(), (tag, argument, &self.echo, ANSWER, self.asked))
            .map_err(|error| format!("{target}: {error}"))?;
        self.answer(target, death, keyboard).await
    }

    /// Waits for the answer to the last question; shows what else comes meanwhile.
    async fn answer(
        &mut self,
        target: &NodeId,
        death: ExitFuture,
        keyboard: &Keyboard,
    ) -> Result<Vec<Value>, String> {
        let time = sleep(self.limit.timeout);
        tokio::pin!(death, time);
        loop {
            tokio::select! {
                biased;
                Some(message) = self.mailbox.recv() => match sort(message.0) {
                    News::Answer(number, values) if number == self.asked => return Ok(values),
                    // To a question that was given up.
                    News::Answer(..) => {}
                    News::Echo(values) => print(keyboard, &echoed(&values))?,
                },
                reason = &mut death => return Err(format!("{target}: {}", values::to_words(reason.values()))),
                () = &mut time => return Err(no_answer(target, self.limit.timeout)),
                _ = self.interrupt.recv() => {
                    self.interrupted = true;
                    return Err(format!("{target}: not waited for any more"));
                }
            }
        }
    }
}

fn print(keyboard: &Keyboard, line: &str) -> Result<(), String> {
    keyboard.print(line).map_err(|failure| failure.to_string())
}

fn echoed(values: &[Value]) -> String {
    format!("ECHO: {}", values::to_line(values))
}

/// Tells answers, `ANSWER, NUMBER, VALUE…`, from what somebody sent.
fn sort(mut values: Vec<Value>) -> News {
    let number = match values.as_slice() {
        [mark, Value::Int(number), ..] if mark.to_name().as_deref() == Some(ANSWER) => {
            u64::try_from(*number).ok()
        }
        _ => None,
    };
    match number {
        Some(number) => News::Answer(number, values.split_off(2)),
        None => News::Echo(values),
    }
}

/// What Perl takes for true.
fn is_true(value: Option<&Value>) -> bool {
    value.is_some_and(|value| {
        !matches!(values::to_words(std::slice::from_ref(value)).as_str(), "" | "0" | "null" | "false")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_from_messages() {
        let answer = sort(vec![Value::name(ANSWER), 7.into(), Value::name(""), 1.into()]);
        assert!(matches!(answer, News::Answer(7, values) if values == [Value::name(""), 1.into()]));
        for message in
            [vec![], vec![Value::name(ANSWER)], vec![Value::name(ANSWER), "x".into()], vec![1.into()]]
        {
            assert!(matches!(sort(message.clone()), News::Echo(values) if values == message));
        }
    }

    #[test]
    fn truth_is_as_perl_and_we_write_it() {
        assert!(
            is_true(Some(&Value::name("1"))) && is_true(Some(&Value::Bool(true))) && is_true(Some(&1.into()))
        );
        assert!(!is_true(Some(&Value::name(""))) && !is_true(Some(&Value::Null)) && !is_true(None));
        assert!(!is_true(Some(&Value::Bool(false))) && !is_true(Some(&0.into())));
    }
}
