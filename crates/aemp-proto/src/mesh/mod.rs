//! Whom to stay connected to: the seeds, and for a global node all other global nodes.

pub(crate) mod seeds;
