//! Names by which records of other nodes, and those who want them, are known.

/// The target of records that come from other nodes. What has it is not forwarded.
pub const CAUGHT: &str = "aemp::caught";

/// The function that a catcher calls on every other node.
pub(crate) const CONNECT: &str = "AnyEvent::MP::LogCatcher::connect";
