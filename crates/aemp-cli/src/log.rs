//! `aemp log`: the log records of the whole network, as they come.

use std::io::{ErrorKind, Write};
use std::time::{Duration, SystemTime};

use aemp::log::{Level, LogCatcher, Record};
use anstyle::{AnsiColor, Style};
use clap::Args;
use serde_json::json;
use time::OffsetDateTime;

use crate::client::Client;
use crate::failure::Failure;
use crate::run;
use crate::services::log_catcher::say_lost;
use crate::values::{escaped, json_text};

/// After this, the one who waits for records of nobody is told so.
const LONELY: Duration = Duration::from_secs(5);

/// Show the log records of all nodes, until interrupted
///
/// Each line has the time, the level, the node, what made the record, and its text. The time is
/// that of the own clock: where the clock of the node differs, the difference stands behind its
/// name (+1.500s: it is 1.5 s behind). Nodes that come later are heard too.
///
/// Works with Perl nodes; nodes in secure mode are silent. Records that a slow terminal, or
/// connection, cannot take are lost, and counted.
#[derive(Debug, Args)]
pub(crate) struct Log {
    /// The least important level to show: fatal, alert, critical, error, warn, note, info, debug or
    /// trace, or 1 to 9
    #[arg(default_value = "info")]
    level: Level,
    /// Print one JSON object a line: time, own_time, node, clock_difference (own clock minus that
    /// of the node, in seconds), level, context, text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: Client,
}

impl Log {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let ending = run::ending()?;
        let node = self.client.join().await?;
        let mut caught = node.catch_logs(self.level);
        let outcome = tokio::select! {
            outcome = self.show(&mut caught) => outcome,
            () = lonely(&node) => Ok(()),
            () = ending => Ok(()),
        };
        node.shutdown().await;
        outcome
    }

    /// Shows records until nobody reads them any more.
    async fn show(&self, caught: &mut LogCatcher) -> Result<(), Failure> {
        let mut lost = 0;
        while let Some(record) = caught.next().await {
            let line = if self.json { to_json(&record) } else { to_line(&record) };
            let mut stdout = anstream::stdout().lock();
            match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => return Err(Failure::failed(format!("stdout cannot be written: {error}"))),
            }
            say_lost(caught, &mut lost);
        }
        Ok(())
    }
}

/// Says once if there is nobody to listen to. Never ends.
async fn lonely(node: &aemp::Node) {
    tokio::time::sleep(LONELY).await;
    if node.connected_nodes().is_empty() {
        let seeds: Vec<String> =
            node.unreached_seeds().into_iter().map(|(seed, why)| format!("{seed}: {why}")).collect();
        let seeds = seeds.join("; ");
        tracing::warn!(seeds, "no other node could be reached so far; are the seeds right, and the secret?");
    }
    std::future::pending().await
}

fn to_line(record: &Record) -> String {
    let Record { node, context, level, text, .. } = record;
    let (dim, strong, colour) = (Style::new().dimmed(), Style::new().bold(), colour(*level));
    let difference = record.shown_difference();
    let time = text_of(record.own_time());
    let (context, text) = (escaped(context), escaped(text));
    format!(
        "{dim}{time}{dim:#} {colour}{level:>8}{colour:#} {strong}{node}{strong:#}{difference} {dim}{context}:{dim:#} {text}"
    )
}

fn colour(level: Level) -> Style {
    let colour = match level {
        Level::Fatal | Level::Alert | Level::Critical => return AnsiColor::Red.on_default().bold(),
        Level::Error => AnsiColor::Red,
        Level::Warn => AnsiColor::Yellow,
        Level::Note | Level::Info => AnsiColor::Green,
        Level::Debug => AnsiColor::Blue,
        Level::Trace => AnsiColor::Magenta,
    };
    colour.on_default()
}

fn to_json(record: &Record) -> String {
    json_text(&json!({
        "time": text_of(record.time),
        "own_time": text_of(record.own_time()),
        "node": record.node.as_str(),
        "clock_difference": record.clock_difference,
        "level": record.level.name(),
        "context": record.context,
        "text": record.text,
    }))
}

/// A time as it is written everywhere, to the microsecond.
pub(crate) fn text_of(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let (hour, minute, second, micros) = time.to_hms_micro();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_to_the_microsecond() {
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
        assert_eq!(text_of(time), "2023-11-14T22:13:20.123456Z");
        assert_eq!(text_of(SystemTime::UNIX_EPOCH), "1970-01-01T00:00:00.000000Z");
    }
}
