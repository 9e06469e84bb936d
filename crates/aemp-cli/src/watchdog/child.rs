//! The node's end of the watchdog: signs of life that only a working node gives, the wish to be
//! started again, and the end with the watchdog.

use std::fs::File;
use std::io::{Read as _, Write as _, stdin};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use aemp::{AnyMessage, Builder, Context, Node, Reason};
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, UnboundedSender};

use super::{BEAT, FUNCTION, RESTART};
use crate::condition::Heart;
use crate::failure::Failure;

/// This many signs of life are due within the longest pause that the watchdog allows.
const OFTEN: u32 = 4;

/// Without a watchdog the process ends in order, or else after so long.
const LAST_LIMIT: Duration = Duration::from_secs(10);

/// The exit status of a node that had to be ended by force.
const STUCK: i32 = 1;

/// The connection to the watchdog.
pub(crate) struct Leash {
    words: UnboundedSender<u8>,
    end: Arc<Notify>,
    heartbeat: Duration,
}

impl Leash {
    /// Takes standard input, which is the socket to the watchdog.
    pub(crate) fn take(heartbeat: Duration) -> Result<Leash, Failure> {
        let socket = || stdin().as_fd().try_clone_to_owned().map(File::from);
        let sockets = socket().and_then(|one| Ok((one, socket()?)));
        let (reading, mut writing) =
            sockets.map_err(|error| Failure::failed(format!("cannot connect to the watchdog: {error}")))?;
        let (words, mut said) = mpsc::unbounded_channel();
        let end = Arc::new(Notify::new());
        // Threads of their own: a watchdog that is stopped must not stop the node, and a node that
        // hangs must still see its end.
        let ending = end.clone();
        std::thread::spawn(move || {
            while let Some(word) = said.blocking_recv() {
                if writing.write_all(&[word]).is_err() {
                    return;
                }
                // Only now that the watchdog can read why.
                if word == RESTART {
                    ending.notify_one();
                }
            }
        });
        let ending = end.clone();
        std::thread::spawn(move || {
            wait_for_end(reading);
            tracing::warn!("the watchdog is gone; ending");
            ending.notify_one();
            std::thread::sleep(LAST_LIMIT);
            std::process::exit(STUCK);
        });
        Ok(Leash { words, end, heartbeat })
    }

    /// Makes the node one that can be started again from elsewhere.
    pub(crate) fn register(&self, builder: Builder) -> Builder {
        let words = self.words.clone();
        builder.function(FUNCTION, move |cx: &mut Context<'_>, _: AnyMessage| {
            tracing::info!("ending, to be started again");
            // An error says that the watchdog is gone, and that this process ends anyway.
            let _ = words.send(RESTART);
            cx.end(Reason::NORMAL);
            Ok::<(), Reason>(())
        })
    }

    /// Gives signs of life from now on, as long as the node works.
    pub(crate) fn beat(&self, node: &Node) {
        let (words, heartbeat) = (self.words.clone(), self.heartbeat);
        // Said once in any case: this node has started.
        let _ = words.send(BEAT);
        if heartbeat.is_zero() {
            return;
        }
        let heart = Heart::of(node);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(heartbeat / OFTEN);
            loop {
                ticks.tick().await;
                if heart.beats(heartbeat).await && words.send(BEAT).is_err() {
                    return;
                }
            }
        });
    }

    /// Waits until the node has to end: it is to be started again, or the watchdog is gone.
    pub(crate) async fn end(&self) {
        self.end.notified().await;
    }
}

/// Waits until the other end is closed.
fn wait_for_end(mut socket: File) {
    let mut bytes = [0; 64];
    // Nothing is said from that end in this version.
    while !matches!(socket.read(&mut bytes), Ok(0) | Err(_)) {}
}
