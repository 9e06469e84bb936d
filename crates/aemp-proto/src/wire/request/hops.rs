//! How far a request may be passed on. A message to a node port can be a request to send another
//! one, which can be such a request again: all hops stand in the first message, so anyone who gets
//! it knows how many there are.

use super::RequestError;
use super::decode::string_at;
use crate::PortId;
use crate::wire::Body;

/// The most nodes that may pass a request on, one after the other. A node may stand there more than
/// once, so few bytes could otherwise make it and another one copy a message to each other for as
/// long as they like.
pub const HOPS_MAX: usize = 32;

/// Refuses a message to `to`, which is to be sent for somebody else, if more than [`HOPS_MAX`]
/// nodes would pass it on.
pub(super) fn check(to: &PortId, message: &Body) -> Result<(), RequestError> {
    if !to.is_node() {
        return Ok(());
    }
    let mut next = Some(message.clone());
    // The node that has read this much is the first of them.
    for _ in 0..HOPS_MAX {
        let Some(message) = next else { return Ok(()) };
        next = passed_on(&message);
    }
    if next.is_some() { Err(RequestError::Hops) } else { Ok(()) }
}

/// What the reader of this message sends to a node port, whose request it is then; `None` if it
/// sends nothing there.
fn passed_on(message: &Body) -> Option<Body> {
    let mut rest = message.rest();
    match &*message.first_name()? {
        "snd" | "time" => {}
        "can" | "eval" => rest = rest.rest(),
        _ => return None,
    }
    let to = PortId::parse(&string_at(&rest)?).ok()?;
    to.is_node().then(|| rest.rest())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;
    use crate::wire::Request;

    /// A request that this many nodes pass on, the first of which reads it.
    fn chain(hops: usize, link: &[&str]) -> Body {
        let links = std::iter::repeat_n(link, hops).flatten();
        let values: Vec<Value> = links.chain(&["devnull"]).map(|text| Value::name(text)).collect();
        Body::encode(&values).unwrap()
    }

    #[test]
    fn a_request_is_passed_on_by_so_many_nodes_and_no_more() {
        for link in [
            &["snd", "n"][..],
            &["time", "n"],
            &["can", "x", "n"],
            &["eval", "x", "n"],
            &["snd", "n", "can", "snd", "n"],
        ] {
            let each = link.iter().filter(|text| **text == "n").count();
            assert!(Request::decode(&chain(HOPS_MAX / each, link)).is_ok(), "{link:?}");
            let over = Request::decode(&chain(HOPS_MAX / each + 1, link));
            assert_eq!(over, Err(RequestError::Hops), "{link:?}");
            assert!(Request::decode(&chain(12_000, link)).is_err(), "{link:?}");
        }
    }

    #[test]
    fn a_message_to_a_port_is_not_looked_into() {
        assert!(Request::decode(&chain(1000, &["snd", "n#port"])).is_ok());
    }
}
