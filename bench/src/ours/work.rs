//! The messages of all workloads.

use aemp::{Message, PortId, ReplyTo};
use serde::{Deserialize, Serialize};

/// What the ports take.
#[derive(Serialize, Deserialize, Message)]
pub(crate) enum Work {
    /// One of many.
    Count(u64),
    /// The port answers when this many counts or payloads have come, and whenever this many more
    /// have.
    Until { count: u64, every: u64, port: PortId },
    /// Answered by another `Ping`, or by `Seen` with its number.
    Ping(PortId, u64),
    /// One of many large ones.
    Payload(#[serde(with = "bytes")] Vec<u8>),
    /// This many have come.
    Seen(u64),
    /// A call.
    Call { value: u64, reply: ReplyTo<u64> },
    /// Counts, after this many microseconds of work.
    Busy(u64),
    /// Asks the node to set this many entries of the shared database.
    Entries(u64),
    /// Asks for a round trip to each of these ports; the last one is told when all are done.
    Meet(Vec<PortId>, PortId),
    /// Asks for this many ports more, which count.
    More(u64, PortId),
    /// The ports that were asked for.
    Ports(Vec<PortId>),
}

/// Bytes as bytes, not as a list of numbers.
mod bytes {
    use serde::de::{Deserializer, Visitor};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}
