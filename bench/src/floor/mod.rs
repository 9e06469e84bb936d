//! What lies below: tokio's unbounded channel between tasks, a tokio socket with a channel, a
//! writer task and a reader task on each side, which is the usual shape of a framework, and a tokio
//! socket alone.

mod channel;
mod raw;
mod socket;

use tokio::net::{TcpListener, TcpStream};

use crate::measure::Measured;
use crate::process::ready;

/// Whether a system has its workloads here.
pub(crate) fn has(system: &str) -> bool {
    system.starts_with("floor") || is_raw(system)
}

/// Runs a workload; `None` if the system has none of this name.
pub(crate) async fn run(system: String, workload: String, count: u64) -> Option<Measured> {
    if is_raw(&system) {
        return raw::run(&system, &workload, count).await;
    }
    if let Some(measured) = channel::run(&workload, count).await {
        return Some(measured);
    }
    socket::run(&system, &workload, count).await
}

/// Runs the far end until the other process is gone.
pub(crate) async fn peer(system: String, workload: String) {
    match is_raw(&system) {
        true => raw::peer(workload).await,
        false => socket::peer(workload).await,
    }
}

fn is_raw(system: &str) -> bool {
    system.starts_with("raw")
}

/// Runs the far end of a workload with the one connection that comes, until the other process is
/// gone.
async fn serve<F>(far_end: impl FnOnce(TcpStream) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("the workload connects");
        stream.set_nodelay(true).expect("a TCP option");
        far_end(stream).await;
    });
    ready(&address.to_string()).await;
}
