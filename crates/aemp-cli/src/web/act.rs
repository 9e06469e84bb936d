//! What may be done from the page, where it was allowed.

use std::time::Duration;

use aemp::{AnyMessage, Node, PortId, Reason, Value};
use aemp_config::value_from_json;
use serde_json::{Value as Json, json};
use tokio::time::timeout;

use super::Act;
use crate::client;
use crate::failure::Failure;
use crate::values::{to_json, to_words};

/// An act that was asked for.
#[derive(Debug)]
pub(super) struct Wish {
    act: Act,
    port: PortId,
    values: Vec<Value>,
}

impl Act {
    /// Where it is asked for.
    pub(super) fn path(self) -> &'static str {
        match self {
            Act::Kill => "/kill",
            Act::Send => "/send",
            Act::Call => "/call",
        }
    }
}

impl Wish {
    /// Reads `{"port": …, "values": […]}`; the values of a kill are its reason, and may be missing.
    pub(super) fn read(act: Act, body: &[u8]) -> Result<Wish, String> {
        let json: Json =
            serde_json::from_slice(body).map_err(|error| format!("the body is no JSON: {error}"))?;
        let port = json["port"].as_str().ok_or("`port` is missing, or no text")?;
        let port = client::port(port).map_err(|failure| failure.to_string())?;
        let values = match &json["values"] {
            Json::Array(values) => values.iter().map(value_from_json).collect(),
            Json::Null if act == Act::Kill => ["killed", "by aemp web"].map(Value::from).into(),
            _ => return Err("`values` is missing, or no list".into()),
        };
        match (act, port.is_node()) {
            (Act::Kill, true) => Err(format!("{port} is a node, which cannot be killed; name a port of it")),
            _ => Ok(Wish { act, port, values }),
        }
    }

    /// Does it, and tells what has become of it.
    pub(super) async fn fulfil(self, node: &Node, limit: Duration) -> Result<Json, Failure> {
        let Wish { act, port, values } = self;
        match act {
            Act::Kill => {
                let died = node.exited(&port);
                node.kill(&port, Reason::new(values));
                let reason = timeout(limit, died)
                    .await
                    .map_err(|_| Failure::failed(format!("{port}: no news of its death within {limit:?}")))?;
                Ok(json!({"port": port.to_string(), "dead": to_words(reason.values())}))
            }
            Act::Send => {
                node.send(&port, AnyMessage(values)).map_err(Failure::failed)?;
                node.flush(&port, limit).await.map_err(|error| Failure::of_call(&port, error))?;
                Ok(json!({"port": port.to_string(), "sent": true}))
            }
            Act::Call => {
                let answer = node.call(&port, limit, |reply| {
                    let mut values = values;
                    values.push(Value::from(reply.port()));
                    AnyMessage(values)
                });
                let AnyMessage(values) = answer.await.map_err(|error| Failure::of_call(&port, error))?;
                Ok(
                    json!({"port": port.to_string(), "answer": values.iter().map(to_json).collect::<Vec<_>>()}),
                )
            }
        }
    }
}
