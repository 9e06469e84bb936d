//! How the node of this process is: whether it works, and whether it is a part of its network. For
//! those who watch it from outside: a watchdog, a service manager, a monitoring system.

use std::time::Duration;

use aemp::{Context, Node, PortId, ReplyTo, Stats};
use tokio::time::timeout;

/// Finds out whether a node works.
pub(crate) struct Heart {
    node: Node,
    port: PortId,
}

impl Heart {
    /// Gives the node a port that answers.
    pub(crate) fn of(node: &Node) -> Heart {
        let port = node.port(|cx: &mut Context<'_>, (reply,): (ReplyTo<()>,)| cx.reply(reply, ()));
        Heart { node: node.clone(), port: port.into() }
    }

    /// Whether the node works: a port answers, and so does the loop that everything of the network
    /// passes through, both within this time.
    pub(crate) async fn beats(&self, limit: Duration) -> bool {
        // The call is ended by the loop when its time is up, which may be what hangs.
        let both = async {
            let port = self.node.call::<_, (), _>(&self.port, limit, |reply| (reply,));
            let (port, _) = tokio::join!(port, self.node.stats());
            port.is_ok()
        };
        timeout(limit, both).await.unwrap_or(false)
    }
}

/// Whether the node is a part of its network: it is connected, or the network begins with it.
pub(crate) fn has_joined(stats: &Stats) -> bool {
    stats.merges_database || stats.peers.values().any(|peer| peer.connection.is_some())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    /// Nothing takes so long, unless it hangs.
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_node_whose_threads_are_stuck_has_no_heartbeat() {
        let runtime = || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(1).enable_all().build().unwrap()
        };
        let (of_node, of_manager) = (runtime(), runtime());
        let node = of_node.block_on(async { Node::builder().id("n").start().await }).unwrap();
        let heart = Heart::of(&node);
        assert!(of_manager.block_on(heart.beats(LONG)), "it works");

        let (stuck, is_stuck) = channel();
        let (release, released) = channel::<()>();
        let free = Arc::new(AtomicBool::new(false));
        let when_free = free.clone();
        of_node.spawn(async move {
            stuck.send(()).unwrap();
            let _ = released.recv();
            when_free.store(true, Ordering::SeqCst);
        });
        is_stuck.recv().unwrap();
        assert!(!of_manager.block_on(heart.beats(Duration::from_millis(50))), "its only thread is stuck");

        let free_when_it_beat = of_manager.spawn(async move {
            let beats = heart.beats(LONG).await;
            (beats, free.load(Ordering::SeqCst))
        });
        release.send(()).unwrap();
        assert_eq!(of_manager.block_on(free_when_it_beat).unwrap(), (true, true));
    }
}
