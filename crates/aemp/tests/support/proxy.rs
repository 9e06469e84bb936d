//! A proxy that cuts connections.

#![allow(clippy::unwrap_used)] // a part of tests

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the proxy does to a connection when it is cut.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Cut {
    /// Nothing.
    No,
    /// Both ends learn of it at once; what is on the way is lost.
    Close,
    /// One end learns of it, the other still gets what was sent to it, and learns of it later.
    OneEnd,
}

/// Forwards connections to `target` until they are cut; `cuts` says which one, by number, and how.
pub(crate) async fn proxy(target: String, cuts: watch::Receiver<(u64, Cut)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(&target).await else { continue };
            tokio::spawn(forward(near, far, cuts.clone()));
        }
    });
    address
}

async fn forward(near: TcpStream, far: TcpStream, mut cuts: watch::Receiver<(u64, Cut)>) {
    cuts.borrow_and_update();
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let to_far = tokio::spawn(copy(near_in, far_out));
    let to_near = tokio::spawn(copy(far_in, near_out));
    let _ = cuts.changed().await;
    let cut = cuts.borrow().1;
    to_far.abort();
    if cut == Cut::OneEnd {
        // Still delivers what `far` has written, while `far` cannot be reached any more.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await; // sleep: the end that comes late is the fault
    }
    to_near.abort();
}

async fn copy(mut from: tokio::net::tcp::OwnedReadHalf, mut to: tokio::net::tcp::OwnedWriteHalf) {
    let mut buffer = vec![0; 4096];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}
