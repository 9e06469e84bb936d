//! The number of a port of this node.

use std::num::NonZeroU64;

/// Which slot of the table a port has, and the generation of that slot: no other port of the node
/// ever has the same. Zero is no value of it, so "no port" is an `Option`, of the same size.
///
/// The outbox takes it as the number of a sender ([`PortNo::get`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortNo(NonZeroU64);

impl PortNo {
    /// That of the first port of a node.
    pub const FIRST: PortNo = PortNo(NonZeroU64::MIN);

    /// The number as it stands in a port ID; `None` for zero, which stands in IDs without one.
    #[inline(always)]
    pub const fn new(number: u64) -> Option<PortNo> {
        match NonZeroU64::new(number) {
            Some(number) => Some(PortNo(number)),
            None => None,
        }
    }

    /// As it stands in a port ID.
    #[inline(always)]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// That of the port which is in this slot while that has this generation.
    #[inline]
    pub const fn of_slot(index: u32, generation: u32) -> PortNo {
        PortNo(NonZeroU64::MIN.saturating_add((generation as u64) << 32 | index as u64))
    }

    /// The slot, and its generation.
    #[inline(always)]
    pub const fn slot(self) -> (u32, u32) {
        let number = self.get() - 1;
        (number as u32, (number >> 32) as u32)
    }

    /// Whether two ports have, or had, the same slot, one after the other.
    #[inline]
    pub const fn same_slot(self, other: PortNo) -> bool {
        self.slot().0 == other.slot().0
    }
}
