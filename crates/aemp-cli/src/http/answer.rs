//! What is said to a request.

use std::borrow::Cow;

use bytes::Bytes;
use futures_util::stream::BoxStream;

/// The type of plain text.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    BadRequest,
    #[cfg(feature = "web")]
    Unauthorized,
    #[cfg(feature = "web")]
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    BodyTooLarge,
    #[cfg(feature = "web")]
    UnsupportedMediaType,
    #[cfg(feature = "web")]
    MisdirectedRequest,
    HeadTooLarge,
    #[cfg(feature = "metrics")]
    InternalError,
    NotImplemented,
    #[cfg(feature = "web")]
    BadGateway,
    ServiceUnavailable,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::BadRequest => "400 Bad Request",
            #[cfg(feature = "web")]
            Status::Unauthorized => "401 Unauthorized",
            #[cfg(feature = "web")]
            Status::Forbidden => "403 Forbidden",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::RequestTimeout => "408 Request Timeout",
            Status::BodyTooLarge => "413 Content Too Large",
            #[cfg(feature = "web")]
            Status::UnsupportedMediaType => "415 Unsupported Media Type",
            #[cfg(feature = "web")]
            Status::MisdirectedRequest => "421 Misdirected Request",
            Status::HeadTooLarge => "431 Request Header Fields Too Large",
            #[cfg(feature = "metrics")]
            Status::InternalError => "500 Internal Server Error",
            Status::NotImplemented => "501 Not Implemented",
            #[cfg(feature = "web")]
            Status::BadGateway => "502 Bad Gateway",
            Status::ServiceUnavailable => "503 Service Unavailable",
        }
    }
}

/// What is said to a request.
pub(crate) struct Answer {
    pub(crate) status: Status,
    /// The type of the content.
    pub(crate) kind: &'static str,
    /// Headers besides those of all answers.
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) content: Content,
}

/// The content of an answer.
pub(crate) enum Content {
    Whole(Cow<'static, [u8]>),
    /// One after the other, until there are no more or nobody listens.
    #[cfg_attr(not(feature = "web"), allow(dead_code, reason = "metrics are always whole"))]
    Parts(BoxStream<'static, Bytes>),
}

impl Answer {
    /// An answer with all of its content.
    pub(crate) fn new(status: Status, kind: &'static str, content: impl Into<Cow<'static, str>>) -> Answer {
        let content = match content.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Answer { status, kind, headers: Vec::new(), content: Content::Whole(content) }
    }

    /// A refusal, and why.
    pub(crate) fn refusal(status: Status, why: &str) -> Answer {
        Answer::new(status, TEXT, format!("{why}\n"))
    }

    /// The same with one more header.
    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Answer {
        self.headers.push((name, value));
        self
    }

    /// The head of it, with these headers.
    pub(super) fn head(&self, headers: &[(&str, &str)]) -> String {
        let mut head = format!("HTTP/1.1 {}\r\ncontent-type: {}\r\n", self.status.line(), self.kind);
        if let Content::Whole(content) = &self.content {
            head += &format!("content-length: {}\r\n", content.len());
        }
        for (name, value) in headers.iter().chain(&self.headers) {
            head += &format!("{name}: {value}\r\n");
        }
        head + "connection: close\r\n\r\n"
    }
}
