//! Questions to other nodes about what they count.
//!
//! They travel as code to be evaluated, as the question of [`trace`](crate::trace) does: nodes of
//! this kind answer them because they are known, whether or not they evaluate anything. To Perl
//! they are a comment behind an empty list, so a Perl node answers without a value.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use aemp_proto::wire::BodyBuilder;
use aemp_proto::{AnyMessage, Body, NodeId, PortId, Value, typed};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::lost::LostMessage;
use super::question::Question;
use super::snapshot::{PortStats, Stats};
use crate::call::CallError;
use crate::message::{DecodeError, EncodeError, ReplyTo};
use crate::node::Node;

/// Questions that are answered at the same time: each may look at all ports.
const AT_ONCE: u64 = 16;

/// Ports that are told of at once.
const PORTS_MAX: usize = 10_000;

/// Why there is no answer to a question.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AskError {
    /// No answer came.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The node does not know the question: it is a Perl node, or an older one.
    #[error("the node does not know this question: it is a Perl node, or an older one of this kind")]
    Unknown,
    /// The node does not answer it.
    #[error("the node does not answer: {0}")]
    Refused(String),
    /// The answer is of another form.
    #[error("the answer cannot be read: {0}")]
    Unreadable(#[from] DecodeError),
}

impl Node {
    /// The snapshot of another node, or of this one.
    ///
    /// # Errors
    ///
    /// See [`AskError`]. A Perl node in secure mode does not answer.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the answer.
    pub async fn stats_of(&self, node: &NodeId, limit: Duration) -> Result<Stats, AskError> {
        self.ask(node, Question::Stats, limit).await
    }

    /// What [`Node::lost_messages`] gives on another node. A node in secure mode does not tell.
    ///
    /// # Errors
    ///
    /// As [`Node::stats_of`].
    pub async fn lost_messages_of(
        &self,
        node: &NodeId,
        limit: Duration,
    ) -> Result<Vec<LostMessage>, AskError> {
        self.ask(node, Question::Lost, limit).await
    }

    /// What [`Node::port_stats`] gives on another node, for at most ten thousand ports. A node in
    /// secure mode does not tell.
    ///
    /// # Errors
    ///
    /// As [`Node::stats_of`].
    pub async fn port_stats_of(
        &self,
        node: &NodeId,
        ports: usize,
        limit: Duration,
    ) -> Result<Vec<PortStats>, AskError> {
        self.ask(node, Question::Ports(ports), limit).await
    }

    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        node: &NodeId,
        question: Question,
        limit: Duration,
    ) -> Result<T, AskError> {
        let request = |reply: ReplyTo<AnyMessage>| ("eval", question.code(), reply.port().clone());
        let AnyMessage(values) = self.call(&node.control_port(), limit, request).await?;
        let (error, answer) = values.split_first().ok_or(AskError::Unknown)?;
        let error = error.to_name().unwrap_or_default();
        if !error.is_empty() {
            return Err(AskError::Refused(error.trim_end().into()));
        }
        if answer.is_empty() {
            return Err(AskError::Unknown);
        }
        let body = Body::encode(answer).map_err(serde::de::Error::custom).map_err(AskError::Unreadable)?;
        Ok(typed::from_body(&body)?)
    }

    /// Answers a question: `VALUE…, "", ANSWER`, or with the error in place of the empty string.
    /// That may take a moment, which the reader of a connection does not have.
    pub(crate) fn answer_question(&self, from: &NodeId, to: &PortId, values: Body, question: Question) {
        let questions = &self.inner().shared.counts.questions;
        if questions.fetch_add(1, Relaxed) >= AT_ONCE {
            questions.fetch_sub(1, Relaxed);
            let busy = Err("too many questions at once; try again later".into());
            return self.tell_answer(from, to, &values, busy);
        }
        let (node, from, to) = (self.clone(), from.clone(), to.clone());
        self.inner().runtime.spawn(async move {
            let answer = node.answer_to(question).await;
            node.inner().shared.counts.questions.fetch_sub(1, Relaxed);
            node.tell_answer(&from, &to, &values, answer);
        });
    }

    async fn answer_to(&self, question: Question) -> Result<Body, String> {
        if question != Question::Stats && self.is_secure() {
            return Err("it is in secure mode, and tells nothing about its ports and connections".into());
        }
        match question {
            Question::Stats => encoded(&self.stats().await),
            Question::Lost => encoded(&self.lost_messages()),
            Question::Ports(limit) => encoded(&self.port_stats(limit.min(PORTS_MAX))),
            Question::Hops(from) => encoded(&self.hops(from)),
            Question::Follow(rule) => {
                self.follow_messages(rule);
                encoded(&self.hops(u64::MAX))
            }
            Question::Dump { from, end } => encoded(&self.dump_page(from, end).await?),
        }
    }

    fn tell_answer(&self, from: &NodeId, to: &PortId, values: &Body, answer: Result<Body, String>) {
        let mut body = BodyBuilder::default();
        body.body(values);
        let (error, answer) = match answer {
            Ok(answer) => (Value::name(""), answer),
            Err(error) => (Value::Text(error), Body::default()),
        };
        if body.value(&error).is_err() {
            return;
        }
        body.body(&answer);
        if let Some(next) = self.send_on(from, to, body.finish()) {
            // Not here: it may be the next question.
            let from = from.clone();
            self.postpone(move |node| node.node_request(&from, &next));
        }
    }
}

fn encoded<T: Serialize>(answer: &T) -> Result<Body, String> {
    typed::to_body(answer).map_err(|error: EncodeError| error.to_string())
}
