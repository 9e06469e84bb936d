//! Logs: to stderr, as text or as JSON, filtered by `--log` or `$AEMP_LOG`. `line` is how a line
//! looks.

mod line;

use std::sync::{LazyLock, OnceLock};

use aemp::log::LogSource;
use anstream::{AutoStream, ColorChoice};
use clap::{Args, ValueEnum};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::failure::Failure;

/// What nodes that stay log unless something else is asked for: also everything that was caught for
/// this log.
pub(crate) const OF_NODES: &str = "info,aemp::caught=trace";

/// What other commands log.
pub(crate) const OF_COMMANDS: &str = "warn";

/// All that this process logs, no matter what of it is shown here.
static SOURCE: LazyLock<LogSource> = LazyLock::new(LogSource::new);

/// Exchanges the filter of what is shown.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Shows this from now on.
pub(crate) fn set_filter(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| Failure::configuration(format!("log_filter {filter:?}: {error}")))?;
    match FILTER.get().map(|shown| shown.reload(filter)) {
        Some(Err(error)) => {
            Err(Failure::failed(format!("the filter of the log cannot be exchanged: {error}")))
        }
        _ => Ok(()),
    }
}

/// What other nodes can catch of this process's log.
pub(crate) fn source() -> &'static LogSource {
    &SOURCE
}

/// What is logged and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct Logging {
    /// What to log: error, warn, info, debug, trace; per module: warn,aemp=debug
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "AEMP_LOG",
        help_heading = "Logging (to stderr)"
    )]
    log: Option<String>,
    /// The form of a log line
    #[arg(
        long,
        global = true,
        value_name = "FORM",
        env = "AEMP_LOG_FORMAT",
        default_value = "text",
        help_heading = "Logging (to stderr)"
    )]
    log_format: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Json,
}

impl Logging {
    /// Starts logging, with the filter `default` if none is asked for.
    pub(crate) fn start(&self, default: &str) -> Result<(), Failure> {
        let filter = self.log.as_deref().unwrap_or(default);
        let filter = EnvFilter::try_new(filter)
            .map_err(|error| Failure::usage(format!("--log (or $AEMP_LOG) {filter:?}: {error}")))?;
        let (filter, handle) = reload::Layer::new(filter);
        // Logging is started once in a process.
        let _ = FILTER.set(handle);
        let coloured = AutoStream::choice(&std::io::stderr()) != ColorChoice::Never;
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(coloured)
            .event_format(line::Lines(self.log_format))
            .with_writer(std::io::stderr);
        tracing_subscriber::registry().with(lines.with_filter(filter)).with(SOURCE.layer()).init();
        Ok(())
    }

    /// The same, as arguments for another process.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let form =
            self.log_format.to_possible_value().map(|form| format!("--log-format={}", form.get_name()));
        self.log.iter().map(|filter| format!("--log={filter}")).chain(form).collect()
    }

    /// The filter that was asked for.
    pub(crate) fn filter(&self) -> Option<&str> {
        self.log.as_deref()
    }
}
