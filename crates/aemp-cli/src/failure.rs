//! How a command fails: with an exit status and words that say what to do.

use std::fmt;
use std::process::ExitCode;

use aemp::{CallError, StartError};
use aemp_config::ConfigError;
use clap::builder::styling::AnsiColor;

use crate::values::{escaped, to_words};

/// What the exit statuses mean, for `--help`.
pub(crate) const EXIT_STATUSES: &str = "\
Exit status:
  0  done
  1  it failed: no connection, no answer in time, the port is gone, the code has an error, the counts differ
  2  the command line is wrong
  3  the configuration cannot be read, written or used
  130  interrupted (mon, listen, top, db --watch, shell, demo)";

/// An error that ends the command.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    message: String,
}

impl Failure {
    /// What was asked for did not work.
    pub(crate) fn failed(message: impl fmt::Display) -> Failure {
        Failure { status: 1, message: message.to_string() }
    }

    /// The command line is wrong.
    pub(crate) fn usage(message: impl fmt::Display) -> Failure {
        Failure { status: 2, message: message.to_string() }
    }

    /// The configuration cannot be used.
    pub(crate) fn configuration(message: impl fmt::Display) -> Failure {
        Failure { status: 3, message: message.to_string() }
    }

    /// The user ended it.
    pub(crate) fn interrupted() -> Failure {
        Failure { status: 130, message: "interrupted".into() }
    }

    /// Anyone who read the output has read enough (`| head`), which is not worth a word.
    pub(crate) fn unread() -> Failure {
        Failure { status: 1, message: String::new() }
    }

    /// A child has failed with this status, and has said why.
    pub(crate) fn passed_on(status: i32) -> Failure {
        Failure { status: u8::try_from(status).unwrap_or(1), message: String::new() }
    }

    /// A call of a port or node has failed.
    pub(crate) fn of_call(called: impl fmt::Display, error: CallError) -> Failure {
        match error {
            CallError::Died(reason) => Failure::failed(format!("{called}: {}", to_words(reason.values()))),
            error => Failure::failed(format!("{called}: {}", escaped(&error.to_string()))),
        }
    }

    /// Whether what was asked for did not work, although it was asked for in the right way.
    pub(crate) fn is_failed(&self) -> bool {
        self.status == 1
    }

    /// What is said.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Says it on stderr.
    pub(crate) fn say(&self) {
        if !self.message.is_empty() {
            let red = AnsiColor::Red.on_default().bold();
            // Much of it may be what another node has said. Line ends are ours: that text was put
            // on one line before.
            let lines: Vec<String> = self.message.split('\n').map(escaped).collect();
            anstream::eprintln!("{red}aemp:{red:#} {}", lines.join("\n"));
        }
    }

    /// Says it on stderr, and gives the exit status.
    pub(crate) fn report(&self) -> ExitCode {
        self.say();
        ExitCode::from(self.status)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Failure {
        let of_system = matches!(error, StartError::Listen { .. } | StartError::Random(_));
        Failure { status: if of_system { 1 } else { 3 }, message: error.to_string() }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        let status = match error {
            ConfigError::Arguments(_) | ConfigError::UnknownKey { .. } => 2,
            // They may be there a little later: a watchdog starts the node again.
            ConfigError::SeedSource { .. } => 1,
            _ => 3,
        };
        Failure { status, message: error.to_string() }
    }
}
