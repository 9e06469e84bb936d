//! `aemp run --watchdog`: a process that starts the node in a child process, and starts it again
//! when it crashes or hangs, or is told to.
//!
//! [`decide`] is the machine that decides, [`parent`] does what it decides, [`child`] is the other
//! end in the node's process.
//!
//! The two are connected by a socket, which is the child's standard input. The child writes one
//! byte for each sign of life ([`BEAT`]), and another one before it ends to be started again
//! ([`RESTART`]). Nothing comes from the parent but the end: a child that reads it has lost its
//! watchdog, and ends too. So nothing is left behind if the watchdog is killed.

pub(crate) mod child;
mod decide;
mod parent;

use std::time::Duration;

use clap::Args;

pub(crate) use parent::guard;

use crate::client::seconds;

/// A sign of life.
const BEAT: u8 = b'b';

/// The child ends now, and wants to be started again.
const RESTART: u8 = b'r';

/// The function that starts a node again that runs under a watchdog. Perl's has the same name.
pub(crate) const FUNCTION: &str = "AnyEvent::Watchdog::Util::restart";

/// Whether a node is watched, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct Watching {
    /// Start the node again when it crashes or hangs, and on SIGHUP or `aemp restart`
    #[arg(long)]
    watchdog: bool,
    /// Seconds without a sign of life after which the node is killed and started again; at least
    /// 0.1, or 0: never
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = heartbeat, requires = "watchdog")]
    heartbeat: Duration,
    /// Seconds until the first new start after a crash; doubled up to 60 with each further crash
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds, requires = "watchdog")]
    restart_delay: Duration,
    /// This is the child of a watchdog, which wants a sign of life so often
    #[arg(long, hide = true, value_parser = heartbeat)]
    watched: Option<Duration>,
}

impl Watching {
    /// Whether a watchdog is to be started.
    pub(crate) fn is_watchdog(&self) -> bool {
        self.watchdog && self.watched.is_none()
    }

    /// The longest time between two signs of life.
    pub(crate) fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    /// How often the watchdog of this process wants a sign of life, if it has one.
    pub(crate) fn watched(&self) -> Option<Duration> {
        self.watched
    }
}

/// Reads how often a sign of life is wanted. Below a tenth of a second a node that is merely busy
/// would be killed.
fn heartbeat(text: &str) -> Result<Duration, String> {
    let heartbeat = seconds(text)?;
    let too_often = !heartbeat.is_zero() && heartbeat < Duration::from_millis(100);
    if too_often { Err("less than 0.1, and not 0".into()) } else { Ok(heartbeat) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_life_are_wanted_never_or_not_too_often() {
        assert_eq!(heartbeat("0"), Ok(Duration::ZERO));
        assert_eq!(heartbeat("0.1"), Ok(Duration::from_millis(100)));
        for wrong in ["1e-9", "0.09", "-1", "1e19", "86401", "nan", "x"] {
            assert!(heartbeat(wrong).is_err(), "{wrong}");
        }
    }
}
