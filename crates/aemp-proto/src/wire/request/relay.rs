//! Requests about relayed connections (`PROTOCOL.md` §2.8). Only native nodes know them: a Perl
//! node never gets one.

use bytes::Bytes;

use super::decode::Args;
use super::{Request, RequestError};
use crate::wire::EncodeError;
use crate::wire::body::{Body, BodyBuilder};
use crate::{NodeId, Value};

/// The name of a relayed connection between two nodes that are connected: anyone who began it there
/// has numbered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayId {
    /// Whether the sender of the request has numbered it, and not the receiver. Travels as the
    /// sign.
    pub by_sender: bool,
    /// The number, from 1.
    pub number: u64,
}

/// What the two ends of a relayed connection and the node that carries it tell each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayRequest {
    /// `x_dial ID NODE`: relay a connection from the sender to this node, please.
    Dial(u64, NodeId),
    /// `x_call ID NODE`: the sender relays a connection from this node to the receiver.
    Call(u64, NodeId),
    /// `x_data ID BYTES`: the next bytes.
    Data(RelayId, Bytes),
    /// `x_ack ID COUNT`: this many more bytes may be sent.
    Ack(RelayId, u64),
    /// `x_end ID TEXT`: the connection is over, and why.
    End(RelayId, String),
}

impl RelayRequest {
    /// The message for the node port of the other node.
    ///
    /// # Errors
    ///
    /// A number is beyond 63 bits.
    pub fn encode(&self) -> Result<Body, EncodeError> {
        let mut out = BodyBuilder::default();
        match self {
            RelayRequest::Dial(number, node) => {
                out.name("x_dial").value(&(*number).into())?;
                out.name(node.as_str());
            }
            RelayRequest::Call(number, node) => {
                out.name("x_call").value(&(*number).into())?;
                out.name(node.as_str());
            }
            RelayRequest::Data(id, bytes) => {
                out.name("x_data").value(&id.to_value())?;
                out.value(&Value::Bytes(bytes.clone()))?;
            }
            RelayRequest::Ack(id, count) => {
                out.name("x_ack").value(&id.to_value())?;
                out.value(&(*count).into())?;
            }
            RelayRequest::End(id, text) => {
                out.name("x_end").value(&id.to_value())?;
                out.value(&Value::Text(text.clone()))?;
            }
        }
        Ok(out.finish())
    }

    /// Reads the arguments that follow the tag; `None` if it is another one.
    pub(super) fn decode(tag: &str, args: &mut Args) -> Result<Option<Request>, RequestError> {
        Ok(Some(Request::Relay(match tag {
            "x_dial" => RelayRequest::Dial(args.of("x_dial").count()?, args.node()?),
            "x_call" => RelayRequest::Call(args.of("x_call").count()?, args.node()?),
            "x_data" => RelayRequest::Data(RelayId::read(args.of("x_data"))?, args.bytes()?),
            "x_ack" => RelayRequest::Ack(RelayId::read(args.of("x_ack"))?, args.count()?),
            "x_end" => RelayRequest::End(RelayId::read(args.of("x_end"))?, args.string("the reason")?),
            _ => return Ok(None),
        })))
    }
}

impl RelayId {
    fn to_value(self) -> Value {
        let number = i128::from(self.number);
        Value::Int(if self.by_sender { number } else { -number })
    }

    fn read(args: &mut Args) -> Result<RelayId, RequestError> {
        let number = args.integer()?;
        let magnitude = u64::try_from(number.unsigned_abs()).ok().filter(|number| *number > 0);
        let number_of = |magnitude| RelayId { by_sender: number > 0, number: magnitude };
        magnitude.map(number_of).ok_or_else(|| args.wrong("the connection", "a number other than 0"))
    }
}

impl Args {
    fn integer(&mut self) -> Result<i128, RequestError> {
        match self.scalar("a number", "an integer")? {
            Value::Int(number) => Ok(number),
            other => {
                let number = other.to_name().and_then(|text| text.parse().ok());
                number.ok_or_else(|| self.wrong("a number", "an integer"))
            }
        }
    }

    fn count(&mut self) -> Result<u64, RequestError> {
        let number = self.integer()?;
        u64::try_from(number).ok().filter(|n| *n > 0).ok_or_else(|| self.wrong("a number", "above 0"))
    }

    fn bytes(&mut self) -> Result<Bytes, RequestError> {
        let bytes = match self.scalar("the bytes", "bytes")? {
            Value::Bytes(bytes) => Some(bytes),
            // JSON has no bytes.
            Value::Text(text) => crate::value::to_latin1(&text).map(Bytes::from),
            _ => None,
        };
        bytes.ok_or_else(|| self.wrong("the bytes", "bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_survives_the_wire() {
        let node = NodeId::new("far").unwrap();
        let (mine, yours) =
            (RelayId { by_sender: true, number: 7 }, RelayId { by_sender: false, number: 1 << 62 });
        for request in [
            RelayRequest::Dial(1, node.clone()),
            RelayRequest::Call(u64::MAX, node),
            RelayRequest::Data(mine, Bytes::from_static(b"\0\xff")),
            RelayRequest::Ack(yours, 4096),
            RelayRequest::End(yours, "over".into()),
        ] {
            let body = request.encode().unwrap();
            assert_eq!(Request::decode(&body), Ok(Request::Relay(request)));
        }
    }

    #[test]
    fn what_is_no_such_request_is_refused() {
        let text = |text: &str| Value::Text(text.into());
        for values in [
            vec![text("x_data"), 0.into(), text("a")],
            vec![text("x_data"), 1.into(), text("\u{100}")],
            vec![text("x_data"), 1.into(), 5.into()],
            vec![text("x_data"), 1.into()],
            vec![text("x_ack"), 1.into(), (-1).into()],
            vec![text("x_ack"), text("one"), 1.into()],
            vec![text("x_dial"), (-1).into(), text("far")],
            vec![text("x_call"), 1.into(), text("a#b")],
        ] {
            assert!(Request::decode(&Body::encode(&values).unwrap()).is_err(), "{values:?}");
        }
    }
}
