//! One record of another node: from the wire, and as text.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aemp_proto::{AnyMessage, NodeId, Value};

use super::limited::Limited;
use super::{CAUGHT, Level, OneLine};

/// A clock difference below this is not worth showing, in seconds.
const VISIBLE: f64 = 1e-3;

/// A log record of another node.
///
/// As text, and as a record of this program's own log ([`Record::log`]), it has the form of Perl's:
/// `[NODE+1.234s] TEXT`. There TEXT is on [one line](OneLine), without what would steer a terminal;
/// the fields are as the other node has sent them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// When it was made, by the clock of its node.
    pub time: SystemTime,
    /// The node that it comes from.
    pub node: NodeId,
    /// The clock of this node minus that of the other, in seconds; 0 if it is too small to be
    /// measured over this connection, `None` if that node has not answered yet.
    pub clock_difference: Option<f64>,
    /// What made it: the target of a `tracing` event (usually the module), the package in Perl.
    pub context: String,
    /// How important it is.
    pub level: Level,
    /// The text, with the fields of the event as `key=value` behind it.
    pub text: String,
}

impl Record {
    /// Reads the message `time, context, level, text` of a node. As lenient as the sides of Perl
    /// are: what is missing is empty, and a record without a level is a note.
    pub(crate) fn from_message(
        node: &NodeId,
        clock_difference: Option<f64>,
        AnyMessage(values): &AnyMessage,
    ) -> Record {
        let value = |index: usize| values.get(index).unwrap_or(&Value::Null);
        Record {
            time: time(value(0)),
            node: node.clone(),
            clock_difference,
            context: text(value(1)),
            level: Level::from_value(value(2)).unwrap_or(Level::Note),
            text: text(value(3)),
        }
    }

    /// When it was made, by the clock of this node as far as the difference is known.
    pub fn own_time(&self) -> SystemTime {
        let difference = self.clock_difference.unwrap_or_default();
        let size = Duration::try_from_secs_f64(difference.abs()).unwrap_or_default();
        let moved = if difference < 0.0 { self.time.checked_sub(size) } else { self.time.checked_add(size) };
        moved.filter(is_shown).unwrap_or(self.time)
    }

    /// The clock difference as it is shown behind the name of the node, such as `+1.234s`; empty if
    /// it is not worth showing.
    pub fn shown_difference(&self) -> String {
        match self.clock_difference {
            Some(difference) if difference.abs() >= VISIBLE => format!("{difference:+.3}s"),
            _ => String::new(),
        }
    }

    /// Writes the record into the log of this program, with the target [`CAUGHT`]: it is not
    /// forwarded to those who catch the records of this node.
    pub fn log(&self) {
        macro_rules! log {
            ($level:ident) => {
                tracing::event!(target: CAUGHT, tracing::Level::$level, context = %self.context, "{self}")
            };
        }
        match self.level.to_tracing() {
            tracing::Level::ERROR => log!(ERROR),
            tracing::Level::WARN => log!(WARN),
            tracing::Level::INFO => log!(INFO),
            tracing::Level::DEBUG => log!(DEBUG),
            tracing::Level::TRACE => log!(TRACE),
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}{}] {}", self.node, self.shown_difference(), OneLine::escape(&self.text))
    }
}

/// The end of the year 9999, in seconds since 1970: calendars end there.
const LATEST: u64 = 253_402_300_799;

/// Whether a time is one that calendars can show; others are not meant.
fn is_shown(time: &SystemTime) -> bool {
    time.duration_since(UNIX_EPOCH).is_ok_and(|since| since.as_secs() <= LATEST)
}

/// Seconds since 1970, in any form that a number may come in; 1970 if it is not one of them.
fn time(value: &Value) -> SystemTime {
    let seconds = match value {
        Value::Float(seconds) => *seconds,
        Value::Int(seconds) => *seconds as f64,
        other => other.to_name().and_then(|text| text.parse().ok()).unwrap_or_default(),
    };
    let since = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    UNIX_EPOCH.checked_add(since).filter(is_shown).unwrap_or(UNIX_EPOCH)
}

/// A string. Bytes are mostly UTF-8: Perl programs log what they have read.
fn text(value: &Value) -> String {
    let mut cut = Limited::default();
    match value {
        Value::Null => {}
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => cut.add(format_args!("{text}")),
            Err(_) => cut.add(format_args!("{}", value.to_name().unwrap_or_default())),
        },
        Value::Int(number) => cut.add(format_args!("{number}")),
        Value::Float(number) => cut.add(format_args!("{number}")),
        other => match other.to_name() {
            Some(text) => cut.add(format_args!("{text}")),
            None => cut.add(format_args!("{other:?}")),
        },
    }
    cut.0
}

#[cfg(test)]
mod tests {
    use super::super::limited::TEXT_MAX;
    use super::*;

    fn record(values: Vec<Value>, difference: Option<f64>) -> Record {
        Record::from_message(&NodeId::new("n").unwrap(), difference, &AnyMessage(values))
    }

    #[test]
    fn a_record_of_perl_is_read() {
        let values = vec![1.5e9.into(), Value::name("My::Module"), 5.into(), Value::name("careful")];
        let record = record(values, Some(-0.25));
        assert_eq!(record.time, UNIX_EPOCH + Duration::from_secs(1_500_000_000));
        assert_eq!(record.own_time(), UNIX_EPOCH + Duration::from_millis(1_499_999_999_750));
        assert_eq!((record.context.as_str(), record.level), ("My::Module", Level::Warn));
        assert_eq!(record.to_string(), "[n-0.250s] careful");
    }

    #[test]
    fn all_that_comes_is_a_record() {
        let nothing = record(Vec::new(), None);
        assert_eq!(
            (nothing.time, nothing.level, nothing.to_string()),
            (UNIX_EPOCH, Level::Note, "[n] ".into())
        );
        for time in [Value::Float(f64::NAN), Value::Float(-1.0), Value::Float(1e300), Value::Int(-(1 << 63))]
        {
            let record = record(vec![time, Value::Null, Value::Int(77), Value::List(vec![])], Some(f64::MAX));
            assert_eq!((record.time, record.own_time()), (UNIX_EPOCH, UNIX_EPOCH));
        }
        let number =
            record(vec![Value::name("12.5"), 1.into(), Value::name("7"), Value::Float(0.5)], Some(0.0));
        assert_eq!(number.time, UNIX_EPOCH + Duration::from_millis(12_500));
        assert_eq!((number.level, number.to_string()), (Level::Info, "[n] 0.5".into()));
    }

    #[test]
    fn texts_are_cut() {
        let long = || "x".repeat(1 << 20);
        let kinds = [Value::Text(long()), Value::name(&long()), Value::List(vec![Value::Text(long()); 8])];
        for value in kinds.into_iter().chain([Value::Bytes(vec![0xff; 1 << 20].into())]) {
            let record = record(vec![Value::Null, value.clone(), 4.into(), value], None);
            let longest = TEXT_MAX + "é…".len();
            assert!(record.text.len() <= longest && record.context.len() <= longest);
            assert!(record.text.capacity() <= 4 * TEXT_MAX && record.text.ends_with('…'));
        }
    }

    #[test]
    fn bytes_are_utf_8_or_latin_1() {
        let text = |bytes: &'static [u8]| {
            record(vec![Value::Null, Value::Null, 4.into(), Value::Bytes(bytes.into())], None).text
        };
        assert_eq!((text(b"\xc3\xa9"), text(b"\xe9")), ("é".into(), "é".into()));
    }

    #[test]
    fn no_time_is_beyond_what_a_calendar_shows() {
        let node = NodeId::new("n").expect("a node ID");
        let record = |time: f64, difference: f64| {
            Record::from_message(&node, Some(difference), &AnyMessage(vec![Value::Float(time)]))
        };
        let last = LATEST as f64;
        for (seconds, shown) in [
            (0.0, 0),
            (1.0, 1),
            (-1.0, 0),
            (last, LATEST),
            (last + 1.0, 0),
            (1e19, 0),
            (f64::MAX, 0),
            (f64::MIN, 0),
            (f64::NAN, 0),
            (f64::INFINITY, 0),
        ] {
            let time = record(seconds, 0.0).time;
            assert_eq!(
                time.duration_since(UNIX_EPOCH).map(|since| since.as_secs()).ok(),
                Some(shown),
                "{seconds}"
            );
        }
        for (difference, shown) in [
            (-1.0, 999),
            (1.0, 1001),
            (-1001.0, 1000),
            (last, 1000),
            (1e300, 1000),
            (-1e300, 1000),
            (f64::NAN, 1000),
        ] {
            let time = record(1000.0, difference).own_time();
            assert_eq!(
                time.duration_since(UNIX_EPOCH).map(|since| since.as_secs()).ok(),
                Some(shown),
                "{difference}"
            );
        }
    }
}
