//! As much HTTP as a monitoring system needs: `GET` of three paths, one request a connection.

use std::time::Duration;

use aemp::Node;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::collect;
use crate::condition::has_joined;

/// How long a request, with its answer, may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the loop of the node may take to answer before it counts as hanging.
const ALIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of a request, and headers in it.
const REQUEST_MAX: usize = 8 << 10;
const HEADERS_MAX: usize = 64;

/// Connections at the same time; more of them wait.
const AT_ONCE: usize = 16;

/// How long to wait after an error such as "too many open files".
const AFTER_ERROR: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers requests until the process ends.
pub(super) async fn serve(listener: TcpListener, node: Node) {
    let room = std::sync::Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let node = node.clone();
                tokio::spawn(async move {
                    // What becomes of it is the affair of the one who asks.
                    let _ = timeout(REQUEST_TIMEOUT, answer(stream, &node)).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a request for metrics was not accepted");
                sleep(AFTER_ERROR).await;
            }
        }
    }
}

/// A status, the type of the content, and that.
type Answer = (&'static str, &'static str, String);

async fn answer(mut stream: TcpStream, node: &Node) -> std::io::Result<()> {
    let mut request = Vec::new();
    let (status, kind, content) = loop {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
        match read(&request) {
            Some(Ok(path)) => break reply(&path, node).await,
            Some(Err(status)) => break (status, TEXT, format!("{status}\n")),
            None if request.len() > REQUEST_MAX => {
                break ("431 Request Header Fields Too Large", TEXT, "too large\n".into());
            }
            None => {}
        }
    };
    let length = content.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(content.as_bytes()).await?;
    stream.shutdown().await
}

/// The path that is asked for, or the status of the refusal; `None` if the request is not complete.
fn read(request: &[u8]) -> Option<Result<String, &'static str>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(request) {
        Err(_) => Some(Err("400 Bad Request")),
        Ok(status) if status.is_partial() => None,
        Ok(_) => Some(match (parsed.method, parsed.path) {
            (Some("GET"), Some(path)) => Ok(path.split('?').next().unwrap_or_default().to_owned()),
            _ => Err("405 Method Not Allowed"),
        }),
    }
}

async fn reply(path: &str, node: &Node) -> Answer {
    // The loop of the node has a part in each snapshot.
    let Ok(stats) = timeout(ALIVE_TIMEOUT, node.stats()).await else {
        return ("503 Service Unavailable", TEXT, "the loop of the node hangs\n".into());
    };
    match path {
        "/metrics" => match collect::text(stats) {
            Ok(text) => ("200 OK", OPEN_METRICS, text),
            Err(_) => ("500 Internal Server Error", TEXT, "the metrics cannot be written\n".into()),
        },
        "/alive" => ("200 OK", TEXT, "alive\n".into()),
        "/ready" if node.is_draining() => {
            ("503 Service Unavailable", TEXT, "the node is about to leave its network\n".into())
        }
        "/ready" if has_joined(&stats) => ("200 OK", TEXT, "ready\n".into()),
        "/ready" => ("503 Service Unavailable", TEXT, "no node of the network is connected\n".into()),
        _ => ("404 Not Found", TEXT, "/metrics, /ready and /alive are here\n".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_request_is_read_and_other_requests_are_refused() {
        let path = |text: &str| read(text.as_bytes());
        assert_eq!(path("GET /metrics?x=1 HTTP/1.1\r\nhost: a\r\n\r\n"), Some(Ok("/metrics".into())));
        assert_eq!(path("GET /metrics HTTP/1.1\r\nhost"), None);
        assert_eq!(path("POST / HTTP/1.1\r\n\r\n"), Some(Err("405 Method Not Allowed")));
        assert_eq!(path("\u{1}nonsense\r\n\r\n"), Some(Err("400 Bad Request")));
    }
}
