//! The address of a port that says what may be sent to it.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::PortId;

/// The ID of a port that takes messages of type `M`.
///
/// It can be used in every place of a `&PortId`. On the wire and in serde it is the port ID and
/// nothing else, so a node that receives one trusts the sender about `M`. [`Addr::port`] gives the
/// ID without the type, to which anything may be sent; [`PortId::assume`] is the opposite.
///
/// # Examples
///
/// ```
/// use aemp_proto::{Addr, PortId};
///
/// struct Job; // what the port takes
///
/// let port: PortId = "worker#7".parse()?;
/// let worker: Addr<Job> = port.clone().assume();
/// assert_eq!(worker, port);
/// assert_eq!(worker.to_string(), "worker#7");
/// assert_eq!(worker.node().as_str(), "worker"); // all that a port ID can be asked
/// # Ok::<(), aemp_proto::NameError>(())
/// ```
#[doc(alias = "ActorRef")]
#[doc(alias = "Recipient")]
pub struct Addr<M> {
    port: PortId,
    message: PhantomData<fn(M)>,
}

impl<M> Addr<M> {
    /// Returns the port ID.
    #[inline]
    pub fn port(&self) -> &PortId {
        &self.port
    }
}

impl PortId {
    /// Assumes that the port takes messages of type `M`, which nobody checks. A message that does
    /// not fit kills the port when it arrives.
    #[inline]
    pub fn assume<M>(self) -> Addr<M> {
        Addr { port: self, message: PhantomData }
    }
}

impl<M> Deref for Addr<M> {
    type Target = PortId;

    #[inline]
    fn deref(&self) -> &PortId {
        &self.port
    }
}

impl<M> AsRef<PortId> for Addr<M> {
    fn as_ref(&self) -> &PortId {
        &self.port
    }
}

impl<M> From<Addr<M>> for PortId {
    fn from(addr: Addr<M>) -> PortId {
        addr.port
    }
}

impl<M> Clone for Addr<M> {
    fn clone(&self) -> Addr<M> {
        self.port.clone().assume()
    }
}

impl<M> PartialEq for Addr<M> {
    fn eq(&self, other: &Addr<M>) -> bool {
        self.port == other.port
    }
}

impl<M> Eq for Addr<M> {}

impl<M> PartialEq<PortId> for Addr<M> {
    fn eq(&self, other: &PortId) -> bool {
        self.port == *other
    }
}

impl<M> PartialEq<Addr<M>> for PortId {
    fn eq(&self, other: &Addr<M>) -> bool {
        *self == other.port
    }
}

impl<M> PartialOrd for Addr<M> {
    fn partial_cmp(&self, other: &Addr<M>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<M> Ord for Addr<M> {
    fn cmp(&self, other: &Addr<M>) -> Ordering {
        self.port.cmp(&other.port)
    }
}

impl<M> Hash for Addr<M> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.port.hash(state);
    }
}

impl<M> fmt::Display for Addr<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.port.fmt(f)
    }
}

impl<M> fmt::Debug for Addr<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Addr({})", self.port)
    }
}

impl<M> Serialize for Addr<M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.port.serialize(serializer)
    }
}

impl<'de, M> Deserialize<'de> for Addr<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Addr<M>, D::Error> {
        PortId::deserialize(deserializer).map(PortId::assume)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;
    use crate::typed::{from_body, to_body};

    /// What cannot be compared, hashed or shown itself.
    struct Opaque;

    fn addr(id: &str) -> Addr<Opaque> {
        PortId::parse(id).expect("a port ID").assume()
    }

    #[test]
    fn an_address_is_a_port_id_on_the_wire() {
        let body = to_body(&(addr("node#port"), 1)).expect("it has a form");
        assert_eq!(body, to_body(&(addr("node#port").port(), 1)).expect("it has a form"));
        let (read, one): (Addr<Opaque>, u8) = from_body(&body).expect("it fits");
        assert_eq!((read, one), (addr("node#port"), 1));
    }

    #[test]
    fn an_address_is_equal_ordered_hashed_and_shown_as_its_port_id() {
        assert_eq!(addr("a#1"), PortId::parse("a#1").expect("a port ID"));
        assert_eq!(PortId::from(addr("a#1")), addr("a#1"));
        assert_eq!(HashSet::from([addr("a#1"), addr("a#1"), addr("a#2")]).len(), 2);
        let sorted: Vec<String> =
            BTreeSet::from([addr("b#1"), addr("a#2"), addr("a#1")]).iter().map(Addr::to_string).collect();
        assert_eq!(sorted, ["a#1", "a#2", "b#1"]);
        assert_eq!(format!("{:?}", addr("a#1")), "Addr(a#1)");
    }
}
