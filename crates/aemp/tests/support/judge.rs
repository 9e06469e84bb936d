//! A sender and a receiver that know whether the promise is kept: between two fires a prefix of
//! what was sent arrives.

#![allow(clippy::unwrap_used)] // a part of tests

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aemp::{Context, Node, PortId};
use tokio::sync::watch;

/// Checks what arrives: messages `(EPOCH, NUMBER)`.
pub(crate) struct Judge {
    pub(crate) port: PortId,
    count: watch::Receiver<u64>,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Judge {
    pub(crate) fn new(node: &Node) -> Judge {
        let (counts, count) = watch::channel(0);
        let wrong = Arc::new(Mutex::new(Vec::new()));
        let (finds, mut seen) = (wrong.clone(), BTreeMap::new());
        let port = node.port(move |_: &mut Context<'_>, (epoch, number, _): (u64, u64, String)| {
            let latest = seen.keys().next_back().copied().unwrap_or(0);
            let expected = seen.get(&epoch).copied().unwrap_or(0);
            if epoch < latest || number != expected {
                finds
                    .lock()
                    .unwrap()
                    .push(format!("{number} of epoch {epoch}, not {expected}; latest is {latest}"));
            }
            seen.insert(epoch, number + 1);
            counts.send_modify(|count| *count += 1);
        });
        Judge { port: port.into(), count, wrong }
    }

    /// Waits until this many more have arrived.
    pub(crate) async fn more(&self, n: u64) {
        let mut count = self.count.clone();
        let until = *count.borrow() + n;
        count.wait_for(|count| *count >= until).await.unwrap();
    }

    /// Nothing that arrived was out of its place.
    pub(crate) fn assert_right(&self) {
        assert!(self.wrong.lock().unwrap().is_empty(), "{:?}", self.wrong.lock().unwrap());
    }
}

/// The state of a sender: which fire it is behind, and how many messages it has sent since.
#[derive(Default)]
struct Sender {
    epoch: u64,
    number: u64,
    fires: watch::Sender<u64>,
}

/// A port that sends and sends, and counts its fires.
pub(crate) fn sender(node: &Node, to: &PortId) -> (PortId, watch::Receiver<u64>) {
    let sender = Sender::default();
    let fires = sender.fires.subscribe();
    let target = to.clone();
    let port = node
        .handlers()
        .on("go", move |cx: &mut Context<'_>, ()| {
            for _ in 0..20 {
                let sender = cx.state::<Sender>();
                let message = (sender.epoch, sender.number, "x".repeat(500));
                sender.number += 1;
                cx.send(&target, message);
            }
            cx.after(Duration::from_millis(1), |cx| {
                let me = cx.me();
                cx.send(&me, ("go",));
            });
        })
        .state(sender)
        .build();
    let target = to.clone();
    node.run_in(&port, move |cx| {
        watch_it(cx, target);
        let me = cx.me();
        cx.send(&me, ("go",));
    });
    (port, fires)
}

fn watch_it(cx: &mut Context<'_>, target: PortId) {
    let again = target.clone();
    cx.monitor(&target, move |cx, _| {
        let sender = cx.state::<Sender>();
        (sender.epoch, sender.number) = (sender.epoch + 1, 0);
        sender.fires.send_modify(|fires| *fires += 1);
        watch_it(cx, again);
    })
    .detach();
}
