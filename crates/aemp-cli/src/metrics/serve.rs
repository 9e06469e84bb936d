//! What is answered to a monitoring system: three paths.

use std::time::Duration;

use aemp::Node;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::collect;
use crate::condition::has_joined;
use crate::http::{self, Answer, Request, Rules, Status, TEXT};

/// How long the loop of the node may take to answer before it counts as hanging.
const ALIVE_TIMEOUT: Duration = Duration::from_secs(2);

const RULES: Rules =
    Rules { request_timeout: Duration::from_secs(5), body_limit: 0, at_once: 16, headers: &[] };

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers requests until the process ends.
pub(super) async fn serve(listener: TcpListener, node: Node) {
    let handler = move |request| {
        let node = node.clone();
        async move { answer(request, &node).await }
    };
    http::serve(listener, &RULES, handler).await;
}

async fn answer(request: Request, node: &Node) -> Answer {
    if request.method != "GET" {
        return Answer::refusal(Status::MethodNotAllowed, "only GET is answered here").with("allow", "GET");
    }
    // The loop of the node has a part in each snapshot.
    let Ok(stats) = timeout(ALIVE_TIMEOUT, node.stats()).await else {
        return Answer::refusal(Status::ServiceUnavailable, "the loop of the node hangs");
    };
    match request.path.as_str() {
        "/metrics" => match collect::text(stats) {
            Ok(text) => Answer::new(Status::Ok, OPEN_METRICS, text),
            Err(_) => Answer::refusal(Status::InternalError, "the metrics cannot be written"),
        },
        "/alive" => Answer::new(Status::Ok, TEXT, "alive\n"),
        "/ready" if node.is_draining() => {
            Answer::refusal(Status::ServiceUnavailable, "the node is about to leave its network")
        }
        "/ready" if has_joined(&stats) => Answer::new(Status::Ok, TEXT, "ready\n"),
        "/ready" => Answer::refusal(Status::ServiceUnavailable, "no node of the network is connected"),
        _ => Answer::refusal(Status::NotFound, "/metrics, /ready and /alive are here"),
    }
}
