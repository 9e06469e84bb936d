//! Code that other nodes have evaluated here, by the evaluator of the program.
//!
//! That is code of users, and code of others: it runs in a port of its own, one piece after the
//! other, never in a connection's reader. If it panics, the asker gets an error.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use aemp_proto::{Body, NodeId, PortId, Value};

use crate::node::Node;
use crate::port::Context;
use aemp_ports::mailbox::Signal;
use aemp_ports::port_no::PortNo;
use aemp_ports::run::panic_text;
use aemp_ports::signal::signal;

/// What an evaluation costs beside these.
const COST: usize = 256;

/// An answer that is given in any case.
struct Answer {
    node: Node,
    /// Who has asked.
    from: NodeId,
    /// The port that wants it, and what stands before the outcome.
    reply: Option<(PortId, Body)>,
}

impl Answer {
    fn give(mut self, outcome: Result<Vec<Value>, String>) {
        self.send(outcome);
    }

    fn send(&mut self, outcome: Result<Vec<Value>, String>) {
        let Some((to, values)) = self.reply.take() else {
            if let Err(error) = outcome {
                tracing::debug!(error, "code of another node failed");
            }
            return;
        };
        let (error, results) = match outcome {
            Ok(results) => (String::new(), results),
            Err(error) => (error, Vec::new()),
        };
        let next =
            self.node.answer_with(&self.from, &to, &values, &[vec![Value::Text(error)], results].concat());
        if let Some(next) = next {
            // Not here: it may be the next code, whose answer is given before this one has
            // returned.
            let from = self.from.clone();
            self.node.postpone(move |node| node.node_request(&from, &next));
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.reply.is_some() {
            let error = if thread::panicking() {
                "the evaluator of this node panicked"
            } else {
                "the evaluator of this node gave no answer"
            };
            self.send(Err(error.into()));
        }
    }
}

impl Node {
    /// Evaluates code of another node, after what came before, and answers.
    pub(super) fn evaluate(&self, from: &NodeId, code: String, reply: Option<(PortId, Body)>) {
        let bytes = COST + code.len() + reply.as_ref().map_or(0, |(_, values)| values.items().len());
        let answer = Answer { node: self.clone(), from: from.clone(), reply };
        let Some(evaluator) = self.inner().functions.evaluator.clone().filter(|_| !self.is_secure()) else {
            if let Some(withheld) = self.may_complain() {
                tracing::warn!(withheld, "refused to evaluate code of another node");
            }
            return answer.give(Err("eval is refused on this node".into()));
        };
        let shared = &self.inner().shared;
        let waiting =
            shared.evaluations.waiting.of(from).charge(bytes).zip(shared.budgets.of(from).charge(bytes));
        let Some(waiting) = waiting else {
            return answer
                .give(Err("too much code waits to be evaluated on this node; try again later".into()));
        };
        let job = move |cx: &mut Context<'_>| {
            drop(waiting);
            let node = cx.node();
            let evaluate = || evaluator.evaluate(node, code, Box::new(move |outcome| answer.give(outcome)));
            if let Err(panic) = catch_unwind(AssertUnwindSafe(evaluate))
                && let Some(withheld) = node.may_complain()
            {
                tracing::error!(text = panic_text(&*panic), withheld, "an evaluator panicked");
            }
        };
        if let Some(port) = self.evaluation_port() {
            signal(self, port, Signal::Job(Box::new(job)));
        }
    }

    /// The port in which code is evaluated; another one if the last one has died.
    fn evaluation_port(&self) -> Option<PortNo> {
        let mut port = self.inner().shared.evaluations.port.lock();
        let lives = |port| self.table().get(port).is_some_and(|cell| !cell.is_closing());
        if !port.is_some_and(lives) {
            *port = self.own_number(&self.port(|_: &mut Context<'_>, (): ()| {}));
        }
        *port
    }
}
