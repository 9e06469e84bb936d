//! The log records of all nodes, for pages that show them.

use std::sync::Arc;

use aemp::Node;
use aemp::log::{Level, LogCatcher, Record};
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use serde_json::{Value as Json, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Pages that show logs at the same time: for each one all nodes are asked.
const PAGES_MAX: usize = 8;

/// Records that are told at once, so that a page draws them once.
const BATCH_MAX: usize = 256;

/// Where pages get log records from.
pub(super) struct Logs {
    node: Node,
    places: Arc<Semaphore>,
}

/// A page that shows them. The nodes are told to stop when it is closed.
struct Viewer {
    caught: LogCatcher,
    _place: OwnedSemaphorePermit,
}

impl Logs {
    pub(super) fn new(node: Node) -> Logs {
        Logs { node, places: Arc::new(Semaphore::new(PAGES_MAX)) }
    }

    /// The records from now on down to this level, as events; `None` if too many pages show them.
    pub(super) fn events(&self, level: Level) -> Option<BoxStream<'static, Bytes>> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let viewer = Viewer { caught: self.node.catch_logs(level), _place: place };
        // The first one says that they are being waited for.
        let first = stream::once(async { event(&[], 0) });
        let others = stream::unfold(viewer, |mut viewer| async {
            let mut records = vec![viewer.caught.next().await?];
            while records.len() < BATCH_MAX
                && let Some(Some(record)) = viewer.caught.next().now_or_never()
            {
                records.push(record);
            }
            Some((event(&records, viewer.caught.lost()), viewer))
        });
        Some(first.chain(others).boxed())
    }
}

/// Records, and how many were lost so far, as an event.
fn event(records: &[Record], lost: u64) -> Bytes {
    let records: Vec<Json> = records.iter().map(row).collect();
    let logs = json!({"version": super::VERSION, "columns": COLUMNS, "records": records, "lost": lost});
    Bytes::from(format!("data: {logs}\n\n"))
}

const COLUMNS: [&str; 5] = ["time", "node", "level", "context", "text"];

fn row(record: &Record) -> Json {
    let time = crate::log::text_of(record.own_time());
    json!([time, record.node.as_str(), record.level.name(), record.context, record.text])
}
