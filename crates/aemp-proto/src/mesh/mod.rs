//! Whom to stay connected to, and who is whose: the seeds, the global nodes, their slaves
//! (`PROTOCOL.md` §6, §7).

pub(crate) mod global;
pub(crate) mod keep;
pub(crate) mod seeds;
