//! Time, as the machines are told it.

use std::time::Duration;

/// A point in time: how long the node has been running. Anyone who runs a machine says what time it
/// is.
pub type Time = Duration;
