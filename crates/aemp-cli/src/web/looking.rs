//! Looking at the network while somebody sees it, once for all who do.

use std::sync::Arc;
use std::time::Duration;

use aemp::Node;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use serde_json::{Value as Json, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

use crate::top::{Observer, Picture, View, Wanted};

/// Pages that are open at the same time.
const PAGES_MAX: usize = 16;

/// How many pages want to see what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Interest {
    pages: usize,
    ports: usize,
    lost: usize,
}

/// What pages are told, each at its own speed: one that is slow misses pictures.
#[derive(Clone)]
pub(super) struct Pictures {
    interest: Arc<watch::Sender<Interest>>,
    pictures: watch::Receiver<Bytes>,
    places: Arc<Semaphore>,
}

/// The part that looks.
pub(super) struct Looking {
    node: Node,
    observer: Observer,
    interval: Duration,
    interest: watch::Receiver<Interest>,
    pictures: watch::Sender<Bytes>,
}

impl Looking {
    /// What looks, until it is dropped, and what it sees.
    pub(super) fn start(
        node: Node,
        limit: Duration,
        interval: Duration,
    ) -> (impl Future<Output = ()>, Pictures) {
        let (interest, wanted) = watch::channel(Interest::default());
        let (sender, pictures) = watch::channel(Bytes::new());
        let observer = Observer::new(node.clone(), limit);
        let looking = Looking { node, observer, interval, interest: wanted, pictures: sender };
        let places = Arc::new(Semaphore::new(PAGES_MAX));
        (looking.run(), Pictures { interest: Arc::new(interest), pictures, places })
    }

    async fn run(mut self) {
        while self.interest.wait_for(|interest| interest.pages > 0).await.is_ok() {
            // Every node that listens has an entry there: nodes that come and go are seen at once.
            let mut listeners = self.node.db().watch("'l");
            loop {
                let interest = *self.interest.borrow_and_update();
                if interest.pages == 0 {
                    break;
                }
                let wanted = Wanted { ports: interest.ports > 0, lost: interest.lost > 0, of: None };
                let picture = self.observer.look(&wanted).await;
                self.pictures.send_replace(event(&picture));
                tokio::select! {
                    () = sleep(self.interval) => {}
                    Some(_) = listeners.next() => {}
                    changed = self.interest.changed() => if changed.is_err() { return },
                }
            }
        }
    }
}

impl Pictures {
    /// The pictures from now on, as events; `None` if too many pages are open.
    pub(super) fn events(&self, ports: bool, lost: bool) -> Option<BoxStream<'static, Bytes>> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let mut pictures = self.pictures.clone();
        pictures.mark_unchanged();
        let viewer = Viewer { interest: self.interest.clone(), ports, lost, _place: place };
        viewer.interest.send_modify(|interest| viewer.count(interest, |count| count + 1));
        let events = stream::unfold((pictures, viewer), |(mut pictures, viewer)| async {
            pictures.changed().await.ok()?;
            let event = pictures.borrow_and_update().clone();
            Some((event, (pictures, viewer)))
        });
        Some(events.boxed())
    }
}

/// An open page.
struct Viewer {
    interest: Arc<watch::Sender<Interest>>,
    ports: bool,
    lost: bool,
    _place: OwnedSemaphorePermit,
}

impl Viewer {
    fn count(&self, interest: &mut Interest, change: impl Fn(usize) -> usize) {
        interest.pages = change(interest.pages);
        for (wanted, count) in [(self.ports, &mut interest.ports), (self.lost, &mut interest.lost)] {
            if wanted {
                *count = change(*count);
            }
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.interest.send_modify(|interest| self.count(interest, |count| count - 1));
    }
}

/// What was seen, as an event for pages: names of columns once, and the rows.
fn event(picture: &Picture) -> Bytes {
    let mut tables = json!({});
    for (view, table) in View::ALL.iter().zip(&picture.tables) {
        tables[view.name()] = table.as_ref().map_or(
            Json::Null,
            |table| json!({"columns": table.columns(), "keys": view.keys(), "rows": table.rows()}),
        );
    }
    let picture = json!({"version": super::VERSION, "time": picture.time, "tables": tables});
    Bytes::from(format!("data: {picture}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_one_event() {
        let mut picture = Picture { time: 1.5, ..Picture::default() };
        let mut table = crate::output::Table::new(&View::Families.columns());
        table.row(vec![json!("a\nb"), json!(1), json!(2)]);
        picture.tables[View::Families.index()] = Some(table);
        let event = String::from_utf8(event(&picture).to_vec()).unwrap();
        let json = event.strip_prefix("data: ").and_then(|rest| rest.strip_suffix("\n\n")).unwrap();
        assert!(!json.contains('\n'), "{json}");
        let json: Json = serde_json::from_str(json).unwrap();
        assert_eq!((&json["version"], &json["time"]), (&1.into(), &1.5.into()));
        assert_eq!(
            json["tables"]["families"],
            json!({"columns": ["family", "entries", "bytes"], "keys": 1, "rows": [["a\nb", 1, 2]]})
        );
        assert_eq!(json["tables"]["ports"], Json::Null);
    }
}
