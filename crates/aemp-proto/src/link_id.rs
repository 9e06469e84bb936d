//! The name of a connection.

use std::fmt;

/// Names one connection of a node, from the moment it is dialled or accepted until it is closed.
/// Never reused.
///
/// The kernel numbers the connections that it has dialled, the one who runs it those that were
/// accepted; the top bit keeps the two apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(u64);

impl LinkId {
    const DIALLED: u64 = 1 << 63;

    /// The `n`-th connection that the kernel dialled.
    pub fn dialled(n: u64) -> LinkId {
        LinkId(n | LinkId::DIALLED)
    }

    /// The `n`-th connection that was accepted.
    pub fn accepted(n: u64) -> LinkId {
        LinkId(n & !LinkId::DIALLED)
    }

    /// Whether the connection was dialled.
    pub fn is_dialled(self) -> bool {
        self.0 & LinkId::DIALLED != 0
    }
}

impl fmt::Debug for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_dialled() { "dialled" } else { "accepted" };
        write!(f, "{kind} {}", self.0 & !LinkId::DIALLED)
    }
}
