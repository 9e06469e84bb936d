//! The connections between the nodes: each leads through a proxy, which can stop it, slow it down
//! and end it.
//!
//! A proxy belongs to the node that is dialled. Who dials says so in its greeting, which begins
//! with `aemp;1;NAME;`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::frame_dropper::FrameDropper;

/// What a slow connection lets through at once, and how often.
const DRIP: usize = 300;
const DRIP_PAUSE: Duration = Duration::from_millis(5);

/// All proxies of a seed.
#[derive(Default, Clone)]
pub(crate) struct Network(Arc<Mutex<Net>>);

#[derive(Default)]
struct Net {
    links: BTreeMap<u64, Arc<Link>>,
    /// Nothing passes from the first of these to the second.
    cut: BTreeSet<(String, String)>,
    /// Where each node listens.
    targets: BTreeMap<String, String>,
    listeners: Vec<AbortHandle>,
    made: u64,
    /// A frame is to vanish, once.
    drops: bool,
}

/// One connection.
pub(crate) struct Link {
    /// Who has dialled, when it has said so.
    from: OnceLock<String>,
    to: String,
    /// From and to who has dialled.
    routes: [watch::Sender<Mode>; 2],
    end: watch::Sender<Option<End>>,
}

/// What becomes of the bytes in one direction.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mode {
    /// They stay where they are.
    pub(crate) stalled: bool,
    /// The same, because the two nodes are cut off from each other.
    pub(crate) cut: bool,
    /// They pass slowly.
    pub(crate) slow: bool,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Both ends see a reset.
    Reset,
    /// Both ends see the end of the stream.
    Close,
    /// One end sees a reset, and the other one nothing for a while.
    OneSide(usize),
}

impl Network {
    fn net(&self) -> MutexGuard<'_, Net> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the proxy of a node; gives its address.
    pub(crate) async fn open(&self, node: &str) -> io::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (network, node) = (self.clone(), node.to_owned());
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(network.clone().relay(near, node.clone()));
            }
        });
        self.net().listeners.push(accepting.abort_handle());
        Ok(address)
    }

    /// From now on a node listens there, or nowhere.
    pub(crate) fn target(&self, node: &str, address: Option<String>) {
        let mut net = self.net();
        match address {
            Some(address) => drop(net.targets.insert(node.to_owned(), address)),
            None => drop(net.targets.remove(node)),
        }
    }

    /// From now on one frame vanishes, on a connection that has seen some.
    pub(crate) fn steal(&self) {
        self.net().drops = true;
    }

    /// Connections that have been made.
    pub(crate) fn made(&self) -> u64 {
        self.net().made
    }

    /// Connections whose ends are both known.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.net().links.values().filter(|link| link.from.get().is_some()).cloned().collect()
    }

    /// Lets nothing pass from one node to another any more, or everything again.
    pub(crate) fn cut(&self, from: &str, to: &str, cut: bool) {
        let mut net = self.net();
        let pair = (from.to_owned(), to.to_owned());
        if cut {
            net.cut.insert(pair)
        } else {
            net.cut.remove(&pair)
        };
        net.links.values().for_each(|link| link.cut(&net.cut));
    }

    /// Lets everything pass again.
    pub(crate) fn mend(&self) {
        let mut net = self.net();
        net.cut.clear();
        net.links.values().for_each(|link| link.set(|mode| *mode = Mode::default()));
    }

    async fn relay(self, mut near: TcpStream, node: String) {
        let target = self.net().targets.get(&node).cloned();
        let far = match target {
            Some(target) => TcpStream::connect(target).await.ok(),
            None => None,
        };
        let Some(mut far) = far else { return reset(&near) };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let (id, link) = self.add(node);
        let mut end = link.end.subscribe();
        let ended = {
            let ((nr, nw), (fr, fw)) = (near.split(), far.split());
            let [there, back] = &link.routes;
            let both =
                async { tokio::join!(self.pump(nr, fw, there, Some(&link)), self.pump(fr, nw, back, None)) };
            tokio::select! {
                _ = both => None,
                ended = end.wait_for(Option::is_some) => ended.ok().and_then(|end| *end),
            }
        };
        match ended {
            Some(End::Reset) => [&near, &far].into_iter().for_each(reset),
            Some(End::OneSide(side)) => {
                let (first, second) = if side == 0 { (near, far) } else { (far, near) };
                reset(&first);
                drop(first);
                // sleep: the other end hears nothing meanwhile
                tokio::time::sleep(Duration::from_secs(1)).await;
                reset(&second);
            }
            Some(End::Close) | None => {}
        }
        self.net().links.remove(&id);
    }

    fn add(&self, to: String) -> (u64, Arc<Link>) {
        let mut net = self.net();
        net.made += 1;
        let routes = std::array::from_fn(|_| watch::Sender::new(Mode::default()));
        let link = Arc::new(Link { from: OnceLock::new(), to, routes, end: watch::Sender::new(None) });
        let id = net.made;
        net.links.insert(id, link.clone());
        (id, link)
    }

    /// Moves bytes in one direction. The first ones of `dialled` say who has dialled.
    async fn pump(
        &self,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
        route: &watch::Sender<Mode>,
        dialled: Option<&Arc<Link>>,
    ) {
        let mut mode = route.subscribe();
        let mut bytes = vec![0; 32 << 10];
        let mut dropper = self.net().drops.then(FrameDropper::new);
        loop {
            let slow = passable(&mut mode).await.slow;
            let most = if slow { DRIP } else { bytes.len() };
            let Ok(count @ 1..) = from.read(&mut bytes[..most]).await else { break };
            if let Some(link) = dialled
                && link.from.get().is_none()
                && let Some(name) = name(&bytes[..count])
            {
                let net = self.net();
                let _ = link.from.set(name);
                link.cut(&net.cut);
            }
            if passable(&mut mode).await.slow {
                // sleep: it is slow
                tokio::time::sleep(DRIP_PAUSE).await;
            }
            let passed = match &mut dropper {
                Some(dropper) => &dropper.pass(&bytes[..count], || std::mem::take(&mut self.net().drops)),
                None => &bytes[..count],
            };
            if to.write_all(passed).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.listeners.iter().for_each(AbortHandle::abort);
    }
}

impl Link {
    /// The nodes at its ends: who has dialled, and who was dialled.
    pub(crate) fn ends(&self) -> [String; 2] {
        [self.from.get().cloned().unwrap_or_default(), self.to.clone()]
    }

    /// Changes what becomes of the bytes from this end.
    pub(crate) fn set_route(&self, end: usize, change: impl Fn(&mut Mode)) {
        self.routes[end].send_modify(change);
    }

    /// The connection ends.
    pub(crate) fn end(&self, how: End) {
        self.end.send_replace(Some(how));
    }

    fn set(&self, change: impl Fn(&mut Mode)) {
        self.routes.iter().for_each(|route| route.send_modify(&change));
    }

    fn cut(&self, cut: &BTreeSet<(String, String)>) {
        let [from, to] = self.ends();
        let is_cut = [(from.clone(), to.clone()), (to, from)].map(|pair| cut.contains(&pair));
        for (route, is_cut) in self.routes.iter().zip(is_cut) {
            route.send_modify(|mode| mode.cut = is_cut);
        }
    }
}

/// Waits until bytes may pass.
async fn passable(mode: &mut watch::Receiver<Mode>) -> Mode {
    let passes = mode.wait_for(|mode| !mode.stalled && !mode.cut).await;
    passes.map(|mode| *mode).unwrap_or_default()
}

/// The name in the beginning of a greeting.
fn name(bytes: &[u8]) -> Option<String> {
    let name = bytes.strip_prefix(b"aemp;1;")?.split(|byte| *byte == b';').next()?;
    String::from_utf8(name.to_vec()).ok()
}

/// Lets the other end see a reset when the socket is closed.
fn reset(stream: &TcpStream) {
    // A socket that is gone needs no reset.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_dials_stands_in_the_greeting() {
        assert_eq!(name(b"aemp;1;m;hmac_sha3_512;native"), Some("m".into()));
        assert_eq!(name(b"\x16\x03\x01"), None);
    }
}
