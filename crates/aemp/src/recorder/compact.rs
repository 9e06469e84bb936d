//! What is recorded, as it is kept: small, for there may be many. It becomes text when somebody
//! asks.

use aemp_proto::history::{Direction, Event, FaultKind, Mark};
use aemp_proto::{NodeId, PortId, Reason};

/// The bit in the number of a sign of life that says that both ends record it.
pub(crate) const MARKED: u64 = 1 << 63;

/// Bytes that are kept of a text.
const TEXT_MAX: usize = 200;

/// What shares memory. Of ports that die, and of marks on a thousand connections, there can be so
/// many that they would leave nothing of what else is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Node,
    Port,
    Mark,
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub(crate) enum CompactEvent {
    Start { global: bool, addresses: Box<[String]>, seeds: Box<[String]> },
    ShuttingDown,
    Stop,
    Dial(Box<str>),
    Up { peer: NodeId, run: u64, conn: u64 },
    Down { peer: NodeId, conn: u64, reason: Box<str> },
    Broke { peer: NodeId, epoch: u64, lost: u64, fires: u64 },
    Frames { peer: NodeId, conn: u64, dir: Direction, n: u64, last: Option<u64>, mark: Mark },
    Malformed { peer: NodeId, conn: u64, what: Box<str> },
    PortDied { port: PortId, of: Box<str> },
}

/// As much of a text as is kept.
pub(crate) fn text(text: &str) -> Box<str> {
    let end = (0..=text.len().min(TEXT_MAX)).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or(0)].into()
}

impl CompactEvent {
    /// A port has died. What stands behind the first word of a reason may be part of a message.
    pub(crate) fn port_died(port: PortId, reason: &Reason) -> CompactEvent {
        CompactEvent::PortDied { port, of: text(&reason.identifier().unwrap_or_default()) }
    }

    /// With what it shares memory.
    pub(super) fn kind(&self) -> Kind {
        match self {
            CompactEvent::PortDied { .. } => Kind::Port,
            CompactEvent::Frames { mark: Mark::Ping(_) | Mark::Pong(_), .. } => Kind::Mark,
            _ => Kind::Node,
        }
    }

    /// Bytes of memory beside those of the value itself. IDs are shared with others.
    pub(super) fn bytes(&self) -> usize {
        match self {
            CompactEvent::Start { addresses, seeds, .. } => {
                let texts = addresses.iter().chain(seeds);
                texts.map(|text| size_of::<String>() + text.capacity()).sum()
            }
            CompactEvent::Dial(text)
            | CompactEvent::Down { reason: text, .. }
            | CompactEvent::Malformed { what: text, .. }
            | CompactEvent::PortDied { of: text, .. } => text.len(),
            CompactEvent::ShuttingDown
            | CompactEvent::Stop
            | CompactEvent::Up { .. }
            | CompactEvent::Broke { .. }
            | CompactEvent::Frames { .. } => 0,
        }
    }

    /// What the records say of it; `node` is where it happened.
    pub(super) fn to_history(&self, node: &NodeId) -> Event {
        match self {
            CompactEvent::Start { global, addresses, seeds } => Event::Start {
                global: *global,
                seeds: seeds.to_vec(),
                functions: Vec::new(),
                address: addresses.join(","),
            },
            CompactEvent::ShuttingDown => {
                Event::Fault { kind: FaultKind::Shutdown, nodes: vec![node.to_string()] }
            }
            CompactEvent::Stop => Event::Stop,
            CompactEvent::Dial(address) => Event::Dial { address: address.to_string() },
            CompactEvent::Up { peer, run, conn } => {
                Event::Up { peer: peer.to_string(), pinc: *run, conn: *conn }
            }
            CompactEvent::Down { peer, conn, reason } => {
                Event::Down { peer: peer.to_string(), conn: *conn, reason: reason.to_string() }
            }
            CompactEvent::Broke { peer, epoch, lost, fires } => {
                Event::Broke { peer: peer.to_string(), epoch: *epoch, lost: *lost, fires: *fires }
            }
            CompactEvent::Frames { peer, conn, dir, n, last, mark } => Event::Frames {
                peer: peer.to_string(),
                conn: *conn,
                dir: *dir,
                n: *n,
                last: *last,
                mark: *mark,
            },
            CompactEvent::Malformed { peer, conn, what } => {
                Event::Malformed { peer: peer.to_string(), conn: *conn, what: what.to_string() }
            }
            CompactEvent::PortDied { port, of } => {
                Event::PortDied { p: port.to_string(), reason: vec![of.to_string()] }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aemp_proto::Value;

    #[test]
    fn of_a_reason_only_the_first_word_is_kept() {
        let port = NodeId::new("n").unwrap().named("p");
        let reason = Reason::new([Value::name("die"), Value::name("the password is hush")]);
        let event = CompactEvent::port_died(port, &reason).to_history(&NodeId::new("n").unwrap());
        assert_eq!(event, Event::PortDied { p: "n#p".into(), reason: vec!["die".into()] });
    }

    #[test]
    fn a_long_text_is_cut_between_letters() {
        let long = "\u{20ac}".repeat(TEXT_MAX);
        assert!(text(&long).len() <= TEXT_MAX && long.starts_with(&*text(&long)));
        assert_eq!(&*text("short"), "short");
    }
}
