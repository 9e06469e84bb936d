//! TCP sockets: dialling, and the options that every connection gets.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// The longest that Linux lets pass between two keep-alives.
const KEEPALIVE_MAX: Duration = Duration::from_secs(32_767);

/// Connects to `host:port`.
pub(crate) async fn connect(address: &str) -> io::Result<TcpStream> {
    TcpStream::connect(address).await
}

/// Sets the options of a connection: no delay unless the settings say otherwise, and the kernel's own watch over it (`reliability` §3): a dead host or cable is
/// noticed within `limit` even if nothing else notices.
pub(crate) fn prepare(stream: &TcpStream, limit: Duration, nodelay: bool) -> io::Result<()> {
    stream.set_nodelay(nodelay)?;
    // 0 would be refused, and so would more than the system can count.
    let within = |time: Duration| time.clamp(Duration::from_secs(1), KEEPALIVE_MAX);
    let keepalive =
        TcpKeepalive::new().with_time(within(limit / 2)).with_interval(within(limit / 8)).with_retries(4);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(limit))
}

/// Lets the other side keep its window closed for as long as it likes, which the user timeout would end: a data connection, unlike
/// one of nodes, is read when somebody wants to read it.
pub(crate) fn be_patient(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_tcp_user_timeout(None)
}

/// Whether all that `host:port` stands for is on this machine only.
pub(crate) async fn is_loopback(address: &str) -> bool {
    match tokio::net::lookup_host(address).await {
        Ok(mut found) => found.all(|address| address.ip().to_canonical().is_loopback()),
        // Binding it will fail and say why.
        Err(_) => true,
    }
}
