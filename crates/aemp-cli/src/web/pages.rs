//! What is answered to whom.

use std::time::Duration;

use aemp::Node;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde_json::json;
use tokio::net::TcpListener;

use super::Act;
use super::act::Wish;
use super::guard::Guard;
use super::logs::Logs;
use super::looking::Pictures;
use crate::http::{self, Answer, Content, Request, Rules, Status};

const RULES: Rules = Rules {
    request_timeout: Duration::from_secs(5),
    body_limit: 64 << 10,
    at_once: 64,
    headers: &[
        (
            "content-security-policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ],
};

const JSON: &str = "application/json";

/// A path, the type of what is there, and that.
type Asset = (&'static str, &'static str, &'static str);

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The page. Nothing in it is secret, so it needs no token.
const ASSETS: [Asset; 9] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("/page.js", SCRIPT, include_str!("page/page.js")),
    ("/stream.js", SCRIPT, include_str!("page/stream.js")),
    ("/rows.js", SCRIPT, include_str!("page/rows.js")),
    ("/graph.js", SCRIPT, include_str!("page/graph.js")),
    ("/layout.js", SCRIPT, include_str!("page/layout.js")),
    ("/model.js", SCRIPT, include_str!("page/model.js")),
];

/// What there is to answer with.
pub(super) struct Pages {
    pub(super) guard: Guard,
    pub(super) pictures: Pictures,
    pub(super) logs: Logs,
    pub(super) allow: Vec<Act>,
    pub(super) node: Node,
    /// How long an act may take.
    pub(super) limit: Duration,
}

impl Pages {
    /// Answers until it is dropped.
    pub(super) async fn serve(self, listener: TcpListener) {
        let pages = std::sync::Arc::new(self);
        let handler = move |request| {
            let pages = pages.clone();
            async move { pages.answer(request).await.unwrap_or_else(|refusal| refusal) }
        };
        http::serve(listener, &RULES, handler).await;
    }

    async fn answer(&self, request: Request) -> Result<Answer, Answer> {
        self.guard.check_host(&request)?;
        let path = request.path.as_str();
        if let Some((_, kind, content)) = ASSETS.iter().find(|(of, ..)| *of == path) {
            only("GET", &request)?;
            return Ok(Answer::new(Status::Ok, kind, *content));
        }
        if path == "/events" {
            only("GET", &request)?;
            self.guard.check_data(&request)?;
            return self.events(&request.query);
        }
        if path == "/logs" {
            only("GET", &request)?;
            self.guard.check_data(&request)?;
            return self.logs(&request.query);
        }
        if path == "/acts" {
            only("GET", &request)?;
            self.guard.check_data(&request)?;
            let allowed = self.allow.iter().map(|act| act.path().trim_start_matches('/'));
            let text = json!({"acts": allowed.collect::<Vec<_>>()}).to_string();
            return Ok(Answer::new(Status::Ok, JSON, text));
        }
        for act in [Act::Kill, Act::Send, Act::Call] {
            if path == act.path() {
                only("POST", &request)?;
                self.guard.check_data(&request)?;
                return self.act(act, &request).await;
            }
        }
        Err(Answer::refusal(Status::NotFound, "there is nothing here"))
    }

    /// The stream of pictures, with what is wanted besides nodes, links and families:
    /// `want=ports,lost`.
    fn events(&self, query: &str) -> Result<Answer, Answer> {
        let wanted = parameter(query, "want").unwrap_or_default();
        let wants = |name: &str| wanted.split(',').any(|word| word == name);
        stream(self.pictures.events(wants("ports"), wants("lost")), "too many pages are open; close one")
    }

    /// The stream of log records, down to the level in `level=LEVEL`.
    fn logs(&self, query: &str) -> Result<Answer, Answer> {
        let level = parameter(query, "level").unwrap_or("info");
        let level =
            level.parse().map_err(|error| Answer::refusal(Status::BadRequest, &format!("level: {error}")))?;
        stream(self.logs.events(level), "too many pages show logs; close one")
    }

    async fn act(&self, act: Act, request: &Request) -> Result<Answer, Answer> {
        if !self.allow.contains(&act) {
            let name = act.path().trim_start_matches('/');
            let why = format!("this page only looks; `aemp web --allow {name}` allows it");
            return Err(Answer::refusal(Status::Forbidden, &why));
        }
        // A form of another page cannot send this type.
        let kind = request.header("content-type").unwrap_or_default();
        if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(JSON)) {
            return Err(Answer::refusal(Status::UnsupportedMediaType, "the body has to be application/json"));
        }
        let wish = Wish::read(act, &request.body).map_err(|why| Answer::refusal(Status::BadRequest, &why))?;
        match wish.fulfil(&self.node, self.limit).await {
            Ok(done) => Ok(Answer::new(Status::Ok, JSON, done.to_string())),
            Err(failure) => Err(Answer::refusal(Status::BadGateway, &failure.to_string())),
        }
    }
}

/// What stands in a query under a name.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(of, _)| *of == name).map(|(_, value)| value)
}

/// An answer without an end, unless there is no room for it.
fn stream(events: Option<BoxStream<'static, Bytes>>, full: &str) -> Result<Answer, Answer> {
    let events = events.ok_or_else(|| Answer::refusal(Status::ServiceUnavailable, full))?;
    let (kind, content) = ("text/event-stream", Content::Parts(events));
    Ok(Answer { status: Status::Ok, kind, headers: Vec::new(), content })
}

fn only(method: &'static str, request: &Request) -> Result<(), Answer> {
    if request.method == method {
        return Ok(());
    }
    Err(Answer::refusal(Status::MethodNotAllowed, "another method is needed here").with("allow", method))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a browser would fetch something from elsewhere, or run something that stands inside.
    fn outside(content: &str) -> Option<&'static str> {
        const NAMESPACE: &str = "http://www.w3.org/2000/svg";
        let content = content.replace(NAMESPACE, "");
        let marks = [
            "http:",
            "https:",
            "\"//",
            "'//",
            "url(",
            "@import",
            "import(",
            "eval(",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "<style",
            " style=",
            " onclick",
            " onload",
            "javascript:",
        ];
        marks.into_iter().find(|mark| content.contains(mark))
    }

    #[test]
    fn the_page_refers_to_nothing_outside_and_has_nothing_inline() {
        for (path, _, content) in ASSETS {
            assert_eq!(outside(content), None, "{path}");
        }
        let (_, _, index) = ASSETS[0];
        // Every script is a file of its own.
        assert_eq!(
            index.matches("<script").count(),
            index.matches("<script type=\"module\" src=\"/").count()
        );
        assert_eq!(outside("a <script src='https://x'>"), Some("https:"));
    }

    #[test]
    fn every_file_that_is_named_is_there() {
        let is_there = |path: &str| ASSETS.iter().any(|(of, ..)| *of == path);
        let mut named = 0;
        for (_, _, content) in ASSETS {
            for mark in ["src=\"", "href=\"", "from \"."] {
                for rest in content.split(mark).skip(1) {
                    let path = rest.split('"').next().unwrap();
                    named += usize::from(path.starts_with('/'));
                    assert!(!path.starts_with('/') || is_there(path), "{path}");
                }
            }
        }
        assert!(named >= 6, "{named}");
    }
}
