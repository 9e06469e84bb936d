//! What a program logs, on its way to those who catch it: a bounded queue for each of them.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use aemp_proto::PortId;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::Level;
use super::layer::{Forwarded, Wanted};

/// Records that wait for one catcher, and their bytes. A burst fits; a catcher that is slower than
/// the log for long loses records.
const RECORDS_MAX: usize = 4096;
const BYTES_MAX: usize = 4 << 20;

/// Catchers of one program.
const FEEDS_MAX: usize = 64;

/// What subscribers want is kept once for a process. Of two threads that ask at the same time the
/// one that asked earlier might be the one that says so later.
static ASKING: Mutex<()> = Mutex::new(());

/// The log records of a program, for those who catch them. Cheap to clone.
///
/// It costs next to nothing while nobody catches: what nobody wants is not even looked at.
#[derive(Clone, Default)]
pub struct LogSource(Arc<Hub>);

impl fmt::Debug for LogSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogSource(down to {:?})", self.wanted())
    }
}

#[derive(Default)]
struct Hub {
    /// The least important level that somebody catches, 0 for none.
    wanted: AtomicU8,
    feeds: RwLock<Vec<Arc<Feed>>>,
}

impl LogSource {
    /// A source that nothing flows into yet.
    pub fn new() -> LogSource {
        LogSource::default()
    }

    /// The layer through which records flow into the source. It has a filter of its own: it sees
    /// what is caught, no matter what the other layers of the subscriber show. (A filter of the
    /// whole subscriber holds for it too.)
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    {
        Forwarded::new(self.clone()).with_filter(Wanted::new(self.clone()))
    }

    /// The least important level that somebody catches.
    pub(super) fn wanted(&self) -> Option<Level> {
        Level::from_number(self.0.wanted.load(Ordering::Acquire).into())
    }

    /// Puts a record into the queues of those who want it. Never waits.
    pub(super) fn log(&self, line: Line) {
        let line = Arc::new(line);
        for feed in self.0.feeds.read().iter().filter(|feed| line.level <= feed.level) {
            feed.push(&line);
        }
    }

    /// A queue with what is logged from now on up to this level, for this port. A port has one: an
    /// older one ends. `None` if there are too many.
    pub(super) fn feed(&self, to: &PortId, level: Level) -> Option<Feeding> {
        let feed = Arc::new(Feed { to: to.clone(), level, waiting: Mutex::default(), news: Notify::new() });
        {
            let mut feeds = self.0.feeds.write();
            feeds.retain(|other| other.to != *to || !other.end());
            if feeds.len() >= FEEDS_MAX {
                return None;
            }
            feeds.push(feed.clone());
        }
        self.changed();
        Some(Feeding { source: self.clone(), feed })
    }

    fn remove(&self, feed: &Arc<Feed>) {
        self.0.feeds.write().retain(|other| !Arc::ptr_eq(other, feed));
        self.changed();
    }

    /// Others are caught than before: the subscriber has to ask its filters anew.
    fn changed(&self) {
        let _one_at_a_time = ASKING.lock();
        {
            let feeds = self.0.feeds.write();
            let wanted = feeds.iter().map(|feed| feed.level.number()).max();
            self.0.wanted.store(wanted.unwrap_or_default(), Ordering::Release);
        }
        tracing::callsite::rebuild_interest_cache();
    }
}

/// A record of this program.
#[derive(Debug)]
pub(super) struct Line {
    /// Seconds since 1970.
    pub(super) time: f64,
    pub(super) context: String,
    pub(super) level: Level,
    pub(super) text: String,
}

impl Line {
    /// What it counts in the queue.
    fn bytes(&self) -> usize {
        self.context.len() + self.text.len() + size_of::<Line>()
    }
}

/// The queue for one catcher.
struct Feed {
    to: PortId,
    level: Level,
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Arc<Line>>,
    bytes: usize,
    dropped: u64,
    ended: bool,
}

impl Feed {
    fn push(&self, line: &Arc<Line>) {
        let mut waiting = self.waiting.lock();
        if waiting.lines.len() >= RECORDS_MAX || waiting.bytes + line.bytes() > BYTES_MAX {
            waiting.dropped += 1;
            return;
        }
        waiting.bytes += line.bytes();
        waiting.lines.push_back(line.clone());
        drop(waiting);
        self.news.notify_one();
    }

    /// Says that another queue takes its place. Always true, for `retain`.
    fn end(&self) -> bool {
        self.waiting.lock().ended = true;
        self.news.notify_one();
        true
    }
}

/// The reading end of a queue. Nothing flows any more when it is dropped.
pub(super) struct Feeding {
    source: LogSource,
    feed: Arc<Feed>,
}

/// What has come.
pub(super) struct Batch {
    pub(super) lines: VecDeque<Arc<Line>>,
    /// How many records after these were lost, because the queue was full.
    pub(super) dropped: u64,
}

impl Feeding {
    /// Waits for records; `None` when another queue has taken the place of this one.
    pub(super) async fn next(&mut self) -> Option<Batch> {
        loop {
            {
                let mut waiting = self.feed.waiting.lock();
                if waiting.ended {
                    return None;
                }
                if !waiting.lines.is_empty() || waiting.dropped > 0 {
                    let Waiting { lines, dropped, .. } = mem::take(&mut *waiting);
                    return Some(Batch { lines, dropped });
                }
            }
            self.feed.news.notified().await;
        }
    }
}

impl Drop for Feeding {
    fn drop(&mut self) {
        self.source.remove(&self.feed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(level: Level, text: &str) -> Line {
        Line { time: 0.0, context: "c".into(), level, text: text.into() }
    }

    fn port(name: &str) -> PortId {
        PortId::parse(&format!("n#{name}")).unwrap()
    }

    #[tokio::test]
    async fn everybody_gets_the_levels_that_were_asked_for() {
        let source = LogSource::new();
        assert_eq!(source.wanted(), None);
        let mut errors = source.feed(&port("a"), Level::Error).unwrap();
        let mut all = source.feed(&port("b"), Level::Trace).unwrap();
        assert_eq!(source.wanted(), Some(Level::Trace));
        source.log(line(Level::Info, "one"));
        source.log(line(Level::Error, "two"));
        let texts =
            |batch: Batch| -> Vec<String> { batch.lines.iter().map(|line| line.text.clone()).collect() };
        assert_eq!(texts(errors.next().await.unwrap()), ["two"]);
        assert_eq!(texts(all.next().await.unwrap()), ["one", "two"]);
        drop(all);
        assert_eq!(source.wanted(), Some(Level::Error));
        drop(errors);
        assert_eq!(source.wanted(), None);
    }

    #[tokio::test]
    async fn a_full_queue_counts_what_it_loses() {
        let source = LogSource::new();
        let mut feed = source.feed(&port("a"), Level::Trace).unwrap();
        for _ in 0..RECORDS_MAX + 3 {
            source.log(line(Level::Info, ""));
        }
        let batch = feed.next().await.unwrap();
        assert_eq!((batch.lines.len(), batch.dropped), (RECORDS_MAX, 3));
        let long = "x".repeat(BYTES_MAX / 3);
        for _ in 0..5 {
            source.log(line(Level::Info, &long));
        }
        let batch = feed.next().await.unwrap();
        assert_eq!((batch.lines.len(), batch.dropped), (2, 3));
    }

    #[tokio::test]
    async fn a_port_has_one_queue_and_a_program_not_too_many() {
        let source = LogSource::new();
        let mut first = source.feed(&port("a"), Level::Trace).unwrap();
        let mut second = source.feed(&port("a"), Level::Info).unwrap();
        source.log(line(Level::Info, "once"));
        assert!(first.next().await.is_none());
        drop(first);
        assert_eq!(second.next().await.unwrap().lines.len(), 1);
        let others: Vec<_> =
            (1..FEEDS_MAX).map(|n| source.feed(&port(&format!("p{n}")), Level::Info)).collect();
        assert!(others.iter().all(Option::is_some));
        assert!(source.feed(&port("one more"), Level::Info).is_none());
        assert!(source.feed(&port("a"), Level::Info).is_some());
    }
}
