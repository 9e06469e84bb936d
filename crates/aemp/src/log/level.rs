//! The nine levels of log records, as `AnyEvent::Log` counts them.

use std::fmt;
use std::str::FromStr;

use aemp_proto::Value;
use thiserror::Error;

/// How important a record is, the most important first. On the wire it is a number from 1 to 9.
///
/// Records of `tracing` are [`Error`](Level::Error), [`Warn`](Level::Warn), [`Info`](Level::Info),
/// [`Debug`](Level::Debug) or [`Trace`](Level::Trace); the others come from Perl nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// 1: the program ends because of it.
    Fatal = 1,
    /// 2: somebody has to do something at once.
    Alert,
    /// 3: a part of the program does not work any more.
    Critical,
    /// 4: something went wrong.
    Error,
    /// 5: something may be wrong.
    Warn,
    /// 6: unusual, but in order.
    Note,
    /// 7: what happens.
    Info,
    /// 8: for anyone who looks for a mistake.
    Debug,
    /// 9: everything.
    Trace,
}

/// A text that names no level.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is not a log level: use fatal, alert, critical, error, warn, note, info, debug or trace, or a number from 1 to 9"
)]
pub struct LevelError(String);

impl Level {
    /// All levels, the most important first.
    pub const ALL: [Level; 9] = [
        Level::Fatal,
        Level::Alert,
        Level::Critical,
        Level::Error,
        Level::Warn,
        Level::Note,
        Level::Info,
        Level::Debug,
        Level::Trace,
    ];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Level::Fatal => "fatal",
            Level::Alert => "alert",
            Level::Critical => "critical",
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Note => "note",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }

    /// The number.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The level with this number, if it has one.
    pub fn from_number(number: i128) -> Option<Level> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        Level::ALL.get(index).copied()
    }

    /// What a peer wrote as a level: a number, or a text with a number or a name.
    pub(crate) fn from_value(value: &Value) -> Option<Level> {
        match value {
            Value::Int(number) => Level::from_number(*number),
            value => value.to_name()?.parse().ok(),
        }
    }

    /// The level of `tracing` that comes closest; never a more important one.
    pub(crate) fn to_tracing(self) -> tracing::Level {
        match self {
            Level::Fatal | Level::Alert | Level::Critical | Level::Error => tracing::Level::ERROR,
            Level::Warn => tracing::Level::WARN,
            Level::Note | Level::Info => tracing::Level::INFO,
            Level::Debug => tracing::Level::DEBUG,
            Level::Trace => tracing::Level::TRACE,
        }
    }
}

impl From<tracing::Level> for Level {
    fn from(level: tracing::Level) -> Level {
        match level {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            tracing::Level::DEBUG => Level::Debug,
            tracing::Level::TRACE => Level::Trace,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Level {
    type Err = LevelError;

    /// Takes the number, the name, and the other names that `AnyEvent::Log` knows.
    fn from_str(text: &str) -> Result<Level, LevelError> {
        Ok(match text {
            "emerg" | "exit" => Level::Fatal,
            "crit" => Level::Critical,
            "err" | "die" => Level::Error,
            "warning" => Level::Warn,
            "notice" => Level::Note,
            "all" => Level::Trace,
            _ => {
                let named = Level::ALL.into_iter().find(|level| level.name() == text);
                let numbered = || Level::from_number(text.parse().ok()?);
                return named.or_else(numbered).ok_or_else(|| LevelError(text.into()));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_go_in_both_directions() {
        for (number, level) in (1..).zip(Level::ALL) {
            assert_eq!(i128::from(level.number()), number);
            assert_eq!(level.name().parse(), Ok(level));
            assert_eq!(number.to_string().parse(), Ok(level));
            assert_eq!(Level::from_value(&Value::Int(number)), Some(level));
            assert_eq!(Level::from_value(&Value::name(&number.to_string())), Some(level));
        }
        for text in ["", "0", "10", "-1", "loud", "1.5"] {
            assert_eq!(text.parse::<Level>(), Err(LevelError(text.into())));
        }
        assert_eq!("all".parse(), Ok(Level::Trace));
        assert_eq!(Level::from_value(&Value::Null), None);
        assert_eq!(Level::from_number(i128::MIN), None);
    }

    #[test]
    fn levels_of_tracing_keep_their_place() {
        for (level, number) in [
            (tracing::Level::ERROR, 4),
            (tracing::Level::WARN, 5),
            (tracing::Level::INFO, 7),
            (tracing::Level::DEBUG, 8),
            (tracing::Level::TRACE, 9),
        ] {
            assert_eq!(Level::from(level).number(), number);
            assert_eq!(Level::from(level).to_tracing(), level);
        }
        assert_eq!(Level::Fatal.to_tracing(), tracing::Level::ERROR);
        assert_eq!(Level::Note.to_tracing(), tracing::Level::INFO);
    }
}
