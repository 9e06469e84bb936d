//! One log line: what other nodes have a say in cannot end it, steer the terminal or make it as
//! long as it likes, in both forms.

use std::fmt::{self, Debug, Write};

use aemp::log::OneLine;
use anstyle::{AnsiColor, Style};
use serde_json::{Map, Value as Json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::Form;
use crate::values::json_text;

/// Bytes of the message and all fields of a line together: as much as a record of another node may
/// have.
const TEXT_MAX: usize = 16 << 10;

/// How events become lines.
pub(super) struct Lines(pub(super) Form);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut said = Said { form: self.0, room: TEXT_MAX, message: None, target: None, fields: Vec::new() };
        event.record(&mut said);
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let level = event.metadata().level();
        let target = said.target.take().unwrap_or_else(|| event.metadata().target().into());
        match self.0 {
            Form::Text => said.write_text(&mut to, &time, level, &target),
            Form::Json => writeln!(to, "{}", json_text(&said.into_json(&time, level, &target))),
        }
    }
}

/// What an event says.
struct Said {
    form: Form,
    /// Bytes that are left.
    room: usize,
    message: Option<Json>,
    /// The target, where the event is one of the crate `log`.
    target: Option<String>,
    fields: Vec<(&'static str, Json)>,
}

impl Said {
    fn write_text(&self, to: &mut Writer<'_>, time: &str, level: &Level, target: &str) -> fmt::Result {
        let plain = !to.has_ansi_escapes();
        let style = |style: Style| if plain { Style::new() } else { style };
        let (dim, italic, colour) =
            (style(Style::new().dimmed()), style(Style::new().italic()), style(colour(level)));
        write!(to, "{dim}{time}{dim:#} {colour}{level:>5}{colour:#} {dim}{target}:{dim:#}")?;
        if let Some(message) = &self.message {
            write!(to, " {}", text(message))?;
        }
        for (name, value) in &self.fields {
            write!(to, " {italic}{name}{italic:#}{dim}={dim:#}{}", text(value))?;
        }
        writeln!(to)
    }

    fn into_json(self, time: &str, level: &Level, target: &str) -> Json {
        let message = self.message.map(|message| ("message", message));
        let fields = message.into_iter().chain(self.fields).map(|(name, value)| (name.to_owned(), value));
        serde_json::json!({
            "timestamp": time,
            "level": level.as_str(),
            "fields": fields.collect::<Map<_, _>>(),
            "target": target,
        })
    }

    fn text(&mut self, field: &Field, text: fmt::Arguments<'_>) {
        let mut line = OneLine::new(self.room);
        // An error says that the limit was reached, or that a value cannot be formatted: what there
        // is stays.
        let _ = line.write_fmt(text);
        let text = line.into_string();
        self.room = self.room.saturating_sub(text.len());
        self.add(field, text.into());
    }

    fn add(&mut self, field: &Field, value: Json) {
        match field.name() {
            "message" => self.message = Some(value),
            // What the bridge from the crate `log` adds.
            name if name.starts_with("log.") => {}
            name => self.fields.push((name, value)),
        }
    }
}

impl Visit for Said {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match (field.name(), self.form) {
            ("log.target", _) => self.target = Some(OneLine::escape(value)),
            ("message", _) | (_, Form::Json) => self.text(field, format_args!("{value}")),
            (_, Form::Text) => self.text(field, format_args!("{value:?}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format_args!("{value:?}"));
    }
}

fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn colour(level: &Level) -> Style {
    match *level {
        Level::ERROR => AnsiColor::Red,
        Level::WARN => AnsiColor::Yellow,
        Level::INFO => AnsiColor::Green,
        Level::DEBUG => AnsiColor::Blue,
        Level::TRACE => AnsiColor::Magenta,
    }
    .on_default()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    struct Shown(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Shown {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written of these events.
    fn shown(form: Form, coloured: bool, log: impl FnOnce()) -> String {
        let shown = Shown::default();
        let to = shown.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(coloured)
            .event_format(Lines(form))
            .with_writer(move || to.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let bytes = shown.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// Forges a line, clears the screen, turns the writing round.
    const HOSTILE: &str = "x\r\n2026-11-30T00:00:00Z ERROR forged\u{1b}[2J\u{9b}2J\u{202e}\u{200b}\u{2028}";

    fn log_hostile() {
        let error = std::fmt::Error;
        tracing::warn!(peer = %HOSTILE, text = HOSTILE, debug = ?HOSTILE, n = 5, yes = true, %error, "said {HOSTILE}");
    }

    #[test]
    fn an_event_is_one_line_even_with_line_breaks_in_it() {
        for (form, coloured) in [(Form::Text, false), (Form::Json, false), (Form::Json, true)] {
            let line = shown(form, coloured, log_hostile);
            let line = line.strip_suffix('\n').expect("a line");
            assert!(line.chars().all(aemp::log::is_plain), "{line:?}");
        }
        let coloured = shown(Form::Text, true, log_hostile);
        assert_eq!(coloured.matches('\n').count(), 1);
        assert!(!coloured.contains("\u{1b}[2J") && coloured.contains("\u{1b}[33m"), "{coloured:?}");
    }

    #[test]
    fn a_line_has_an_end() {
        let long = "\n".repeat(1 << 20);
        for form in [Form::Text, Form::Json] {
            let line = shown(form, false, || tracing::warn!(a = %long, b = long, c = ?long, "{long}"));
            assert!(line.len() < 2 * TEXT_MAX + 300, "{}", line.len());
            assert_eq!(line.matches('\n').count(), 1);
        }
    }

    #[test]
    fn both_forms_say_all() {
        let log = || tracing::info!(target: "a::b", peer = %"n", text = "x \"y\"", n = -5, "hello");
        let text = shown(Form::Text, false, log);
        assert_eq!(
            text.split_once(' ').expect("a time").1,
            " INFO a::b: hello peer=n text=\"x \\\"y\\\"\" n=-5\n"
        );
        let json: Json = serde_json::from_str(&shown(Form::Json, false, log)).unwrap();
        let fields = serde_json::json!({"message": "hello", "peer": "n", "text": "x \"y\"", "n": -5});
        assert_eq!(
            (&json["level"], &json["target"], &json["fields"]),
            (&"INFO".into(), &"a::b".into(), &fields)
        );
    }
}
