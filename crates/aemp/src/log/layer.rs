//! The end of `tracing`: which events are looked at, and how an event becomes a record.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, Filter};

use super::clock;
use super::limited::Limited;
use super::source::{Line, LogSource};
use super::{CAUGHT, Level};
use aemp_ports::this_thread::this;

/// Runs code whose records are not forwarded, or the first one would never end.
pub(super) fn unheard<T>(code: impl FnOnce() -> T) -> T {
    /// Sets the flag back also when the code panics.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            this(|this| this.forwarding.set(self.0));
        }
    }
    let _restore = Restore(this(|this| this.forwarding.replace(true)));
    code()
}

/// The filter of the layer: what somebody catches.
pub(super) struct Wanted(LogSource);

impl Wanted {
    pub(super) fn new(source: LogSource) -> Wanted {
        Wanted(source)
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let level = self.0.wanted();
        level.is_some_and(|level| *metadata.level() <= level.to_tracing()) && metadata.target() != CAUGHT
    }
}

impl<S> Filter<S> for Wanted {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        // The source has everybody asked anew when this changes.
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.wanted().map_or(LevelFilter::OFF, |level| level.to_tracing().into()))
    }
}

/// The layer: events become records of the source.
pub(super) struct Forwarded(LogSource);

impl Forwarded {
    pub(super) fn new(source: LogSource) -> Forwarded {
        Forwarded(source)
    }
}

impl<S: Subscriber> Layer<S> for Forwarded {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if this(|this| this.forwarding.get()) {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        self.0.log(Line {
            time: clock::now(),
            context: text.target.take().unwrap_or_else(|| event.metadata().target().into()),
            level: Level::from(*event.metadata().level()),
            text: text.finish(),
        });
    }
}

/// The text of an event: its message, then its fields.
#[derive(Default)]
struct Text {
    message: Limited,
    fields: Limited,
    /// The target, where the event is one of the crate `log`.
    target: Option<String>,
}

impl Text {
    fn finish(self) -> String {
        let Text { message: Limited(mut text), fields: Limited(fields), .. } = self;
        // Fields begin with a blank.
        text.push_str(if text.is_empty() { fields.trim_start() } else { &fields });
        text
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.add(format_args!("{value}")),
            "log.target" => self.target = Some(value.into()),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message.add(format_args!("{value:?}")),
            // What the bridge from the crate `log` adds.
            name if name.starts_with("log.") => {}
            name => self.fields.add(format_args!(" {name}={value:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use aemp_proto::PortId;
    use tracing_subscriber::prelude::*;

    use super::super::limited::TEXT_MAX;
    use super::super::source::Feeding;
    use super::*;

    fn feed(source: &LogSource, level: Level) -> Feeding {
        source.feed(&PortId::parse("n#p").unwrap(), level).unwrap()
    }

    /// What has come, as `level context text`.
    async fn texts(feed: &mut Feeding) -> Vec<String> {
        let lines = feed.next().await.unwrap().lines;
        lines.iter().map(|line| format!("{} {} {}", line.level, line.context, line.text)).collect()
    }

    #[tokio::test]
    async fn events_become_records() {
        let source = LogSource::new();
        let mut feed = feed(&source, Level::Debug);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(source.layer()), || {
            tracing::warn!(target: "a::b", n = 5, name = "x y", shown = %"é", "it is {}", 1);
            tracing::debug!(target: "a", n = 5);
            tracing::trace!(target: "a", "not wanted");
            tracing::error!(target: CAUGHT, "of somebody else");
            unheard(|| tracing::error!(target: "a", "because of the forwarding"));
            tracing::info!(target: "a", text = %"é".repeat(TEXT_MAX), "");
        });
        let texts = texts(&mut feed).await;
        assert_eq!(texts[..2], [r#"warn a::b it is 1 n=5 name="x y" shown=é"#, "debug a n=5"]);
        assert_eq!(texts.len(), 3);
        assert!(texts[2].len() < TEXT_MAX + 32 && texts[2].ends_with("é…"));
    }

    #[tokio::test]
    async fn the_level_can_change_at_any_time() {
        let source = LogSource::new();
        let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(source.layer()));
        let log = || tracing::dispatcher::with_default(&dispatch, || tracing::debug!(target: "a", "x"));
        log();
        let mut low = feed(&source, Level::Debug);
        log();
        assert_eq!(texts(&mut low).await.len(), 1);
        drop(low);
        let mut high = feed(&source, Level::Info);
        log();
        tracing::dispatcher::with_default(&dispatch, || tracing::info!(target: "a", "y"));
        assert_eq!(texts(&mut high).await, ["info a y"]);
    }
}
